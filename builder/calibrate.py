"""Calibration in a build: one calibrator for all targets that need the same graphs.

It also reads and writes files of ranges, and cuts the lines that a detector finds, to calibrate a
recognizer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import onnx

from ..calibration.autocast import float_tensors
from ..calibration.calibrator import Calibrator
from ..calibration.methods import METHODS
from ..calibration.quantize import quantized_tensors
from ..calibration.ranges import Ranges, check_ranges, graphs_sha256, load_ranges, save_ranges
from ..common.progress import Reporter
from ..common.spread import spread
from ..convert.graph import Graphs
from ..engines.bundle import tree_sha256
from ..engines.engine import Engine
from ..errors import InputFileError, UserError
from ..ocr.dataset import CropLabel, Dataset
from ..pipeline.stages import detect
from .convert import ConvertedModel
from .request import BuildRequest

_MAX_SCENES = 200
"""Largest number of images that line crops are cut from."""


class Calibrators:
    """Creates the calibrators of a build on demand.

    A calibrator runs the calibration images only once, and targets with equal graphs share it.
    """

    def __init__(self, request: BuildRequest, model: ConvertedModel, reporter: Reporter) -> None:
        self._request, self._model, self._reporter = request, model, reporter
        self._created = dict[str, Calibrator]()

    def lowered_by(self, lower: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Calibrator:
        """Return the calibrator for the graphs that a target's ``lower`` returns.

        Raises:
            UserError: the file of ranges belongs to another model, data or method.
            InputFileError: the file of ranges cannot be read.
        """
        graphs = {size: lower(graph) for size, graph in self._model.graphs.items()}
        # Targets whose graphs have equal content share a calibrator, even if each lowered its own.
        key = graphs_sha256(graphs)
        if key not in self._created:
            assert self._request.calibration is not None, "checked with the request"
            self._created[key] = Calibrator(
                graphs,
                self._request.calibration,
                self._reporter,
                # Ranges are of one graph, so the file can only be checked here, per target.
                ranges=known_ranges(self._request, graphs),
                own_ranges=self._model.own_ranges,
            )
        return self._created[key]

    def of_graphs(self, graphs: Graphs) -> Calibrators:
        """Return calibrators of other graphs of the same model, such as compressed ones."""
        return Calibrators(self._request, replace(self._model, graphs=graphs), self._reporter)

    @property
    def own_ranges(self) -> int:
        """How many ranges the model itself states."""
        return len(self._model.own_ranges)


def known_ranges(request: BuildRequest, graphs: Graphs) -> Ranges | None:
    """Read the request's file of ranges; None if it names none or the file does not exist yet.

    Raises:
        UserError: the ranges are of another model, data or method, or one is missing.
        InputFileError: the file cannot be read.
    """
    if request.ranges is None or not request.ranges.exists():
        return None
    assert request.calibration is not None, "checked with the request"
    ranges = load_ranges(request.ranges)
    check_ranges(
        ranges,
        request.ranges,
        model_sha256=graphs_sha256(graphs),
        data_sha256=tree_sha256(request.calibration.dataset.folder),
        method=request.method,
    )
    # The fingerprints match, but someone may have edited the file.
    _check_complete(ranges, graphs[max(graphs)], request)
    return ranges


def _check_complete(ranges: Ranges, graph: onnx.ModelProto, request: BuildRequest) -> None:
    # With everywhere=True these are the tensors of every quantization that a request can name.
    # int8 needs ranges of these tensors, and 16 bits need peaks of these.
    tensors, peaks = quantized_tensors(graph, everywhere=True), float_tensors(graph)
    missing = {*tensors} - ranges.ranges.keys() | {*peaks} - ranges.peaks.keys()
    if missing:
        raise UserError(
            f"{request.ranges}: has no range of {min(missing)}; remove it, or name another file, "
            "to calibrate again"
        )


def ranges_of(calibrator: Calibrator, method: str) -> Ranges:
    """Return what a calibrator observed, as data for a file of ranges."""
    seen = calibrator.observation(peaks=True)
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
    """Write the ranges of a build to the request's file, unless they came from it."""
    if request.ranges is not None and calibrator.ranges is None:
        save_ranges(ranges_of(calibrator, request.method), request.ranges)


def detected_crops(dataset: Dataset, detector: Engine, reporter: Reporter) -> list[CropLabel]:
    """Return the line crops that a detector finds in images evenly spread over a folder.

    A recognizer calibrated on them sees lines as its detector will cut them. Their texts are empty.
    Images that cannot be read are reported and skipped.

    Raises:
        InputFileError: the detector finds no text in any image.
    """
    crops: list[CropLabel] = []
    indices = spread(len(dataset.scenes), _MAX_SCENES)
    with reporter.step(f"find lines with {detector.label}", len(indices)) as advance:
        for done, index in enumerate(indices, 1):
            page = dataset.scenes[index].image
            try:
                quads, _ = detect(detector, page.read())
            except InputFileError as error:
                reporter.note(f"image left out of the calibration: {error}")
                continue
            crops += [CropLabel(image=page, text="", quad=quad) for quad in quads]
            advance(done)
    if not crops:
        raise InputFileError(
            f"{dataset.folder}: {detector.label} finds no text in its images; name another folder "
            "or another detector"
        )
    return crops
