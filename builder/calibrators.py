"""The calibrators of a build: one for all targets that take the same graphs."""

from __future__ import annotations

from pathlib import Path

import onnx

from ..calibration.autocast import float_tensors
from ..calibration.calibrator import Calibrator, Graphs
from ..calibration.methods import METHODS
from ..calibration.quantize import quantized_tensors
from ..calibration.ranges import Ranges, check_ranges, graphs_sha256, load_ranges, save_ranges
from ..common.progress import Reporter
from ..engines.base import GraphNeeds
from ..engines.bundle import tree_sha256
from ..engines.nvidia.lower_deconvolutions import lower_deconvolutions
from ..errors import UserError
from .request import BuildRequest


class Calibrators:
    """Makes a calibrator when it is first needed. ``own``: ranges that the model brought along."""

    def __init__(
        self, request: BuildRequest, graphs: Graphs, own: dict[str, float], reporter: Reporter
    ) -> None:
        self._request, self._graphs, self._reporter = request, graphs, reporter
        self.own = own
        self._made: dict[bool, Calibrator] = {}

    def for_needs(self, needs: GraphNeeds) -> Calibrator:
        """Return the calibrator of the graphs that a target needs.

        Raises:
            UserError: the file of ranges is of something else.
            InputFileError: it is no such file.
        """
        graphs = _lowered(self._graphs) if needs.lower_deconvolutions else self._graphs
        is_same = graphs is self._graphs
        if is_same not in self._made:
            assert self._request.calibration is not None, "checked with the request"
            self._made[is_same] = Calibrator(
                graphs,
                self._request.calibration,
                self._reporter,
                ranges=known_ranges(self._request, graphs),
                own=self.own,
            )
        return self._made[is_same]


def _lowered(graphs: Graphs) -> Graphs:
    """Lower deconvolutions; the graphs themselves if they have none."""
    lowered = {width: lower_deconvolutions(graph) for width, graph in graphs.items()}
    return graphs if all(lowered[width] is graphs[width] for width in graphs) else lowered


def known_ranges(request: BuildRequest, graphs: Graphs) -> Ranges | None:
    """Read the file of ranges, if the request names one and it is there."""
    if request.ranges is None or not request.ranges.exists():
        return None
    assert request.calibration is not None, "checked with the request"
    found = load_ranges(request.ranges)
    check_ranges(
        found,
        request.ranges,
        model_sha256=graphs_sha256(graphs),
        data_sha256=tree_sha256(request.calibration.dataset.folder),
        method=request.method,
    )
    _check_complete(found, request.ranges, graphs[max(graphs)])
    return found


def _check_complete(found: Ranges, path: Path, graph: onnx.ModelProto) -> None:
    ranges, peaks = quantized_tensors(graph, everywhere=True), float_tensors(graph)
    missing = {*ranges} - found.ranges.keys() | {*peaks} - found.peaks.keys()
    if missing:
        raise UserError(
            f"{path}: has no range of {min(missing)}; remove it, or name another file, to "
            "calibrate again"
        )


def check_ranges_request(request: BuildRequest) -> None:
    """Refuse a file of ranges where several kinds of ranges are made.

    Raises:
        UserError: says what does not go together.
    """
    if request.ranges is None:
        return
    if request.method == "auto" or request.corrections or request.precision == "best":
        raise UserError(
            "a file of ranges holds those of one method: give --method NAME with it, and no "
            "--correction, --method auto or --precision best"
        )


def ranges_of(calibrator: Calibrator, method: str) -> Ranges:
    """Return what was seen as it is written to a file."""
    seen = calibrator.seen(peaks=True)
    return Ranges(
        model_sha256=graphs_sha256(calibrator.graphs),
        data_sha256=tree_sha256(calibrator.images.dataset.folder),
        method=method,
        images=seen.batches,
        skipped=tuple(calibrator.skipped),
        ranges={name: METHODS[method](histogram) for name, histogram in seen.histograms.items()},
        peaks=seen.peaks,
    )


def keep_ranges(request: BuildRequest, calibrator: Calibrator) -> None:
    """Write the ranges a build made, if the request names a file for them."""
    if request.ranges is not None and calibrator.ranges is None:
        save_ranges(ranges_of(calibrator, request.method), Path(request.ranges))
