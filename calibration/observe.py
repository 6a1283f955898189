"""Running a float graph on calibration images to see what its tensors hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ..common.onnx_session import onnx_session
from ..errors import InputFileError
from .histogram import EMPTY, Histogram

Batch = npt.NDArray[np.float32]
Feeds = Iterable[tuple[int, Batch]]
"""(input width, (N, C, H, width)), one after the other."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What was seen of each tensor: by all batches, and by the first half of them.

    ``peaks``: the largest |x|, also of tensors without a histogram.
    """

    batches: int
    histograms: dict[str, Histogram]
    early: dict[str, Histogram]
    peaks: dict[str, float]


def observe(
    graphs: Mapping[int, onnx.ModelProto],
    feeds: Feeds,
    total: int,
    *,
    histograms: Sequence[str],
    peaks: Sequence[str] = (),
) -> Observation:
    """Run all batches, and see what the named tensors hold.

    Args:
        graphs: float32 graphs with one input (N, C, H, W), by width; tensors have the same names.
        feeds: batches for them; every one is read.
        total: how many there are.
        histograms: inner tensors, or the input itself, to take histograms of.
        peaks: further ones of which only the largest |x| is expected.

    Raises:
        InputFileError: there is not one batch, or a tensor turns NaN or infinite.
    """
    only_peaks = [name for name in peaks if name not in histograms]
    sessions = _Sessions(graphs, histograms, only_peaks)
    found, highest = dict.fromkeys(histograms, EMPTY), dict.fromkeys(only_peaks, 0.0)
    early, count = dict(found), 0
    for count, (width, batch) in enumerate(feeds, 1):
        values = sessions.run(width, batch)
        for name in (*histograms, *only_peaks):
            try:
                if name in found:
                    found[name] = found[name].add(values[name])
                else:
                    highest[name] = max(highest[name], _finite(values, name))
            except ValueError as error:
                raise InputFileError(f"calibration image {count}: {name} has {error}") from None
        if count == (total + 1) // 2:
            early = dict(found)
    if not count:
        raise InputFileError("no calibration images: ranges need at least one")
    highest |= {name: histogram.peak for name, histogram in found.items()}
    return Observation(batches=count, histograms=found, early=early, peaks=highest)


class _Sessions:
    """One session per width, made when it is first needed."""

    def __init__(
        self, graphs: Mapping[int, onnx.ModelProto], whole: Sequence[str], peaks: Sequence[str]
    ) -> None:
        self._graphs, self._whole, self._peaks = graphs, whole, peaks
        self._open: dict[int, Any] = {}

    def run(self, width: int, batch: Batch) -> dict[str, Batch]:
        """Return the values of what is watched, the input among them."""
        if width not in self._open:
            watched = with_outputs(self._graphs[width], self._whole)
            self._open[width] = onnx_session(with_peaks(watched, self._peaks))
        session, entry = self._open[width], self._graphs[width].graph.input[0].name
        outputs = [value.name for value in session.get_outputs()]
        values = dict(zip(outputs, session.run(outputs, {entry: batch}), strict=True))
        return {**values, entry: batch}


def _finite(values: Mapping[str, Batch], name: str) -> float:
    peak = float(np.abs(values[name]).max() if name in values else values[f"{name}.peak"])
    if not np.isfinite(peak):
        raise ValueError("NaN or infinite values")
    return peak


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return the model with the named inner tensors as its only outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    inputs = {value.name for value in model.graph.input}
    for name in names:
        if name not in inputs:
            copy.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return copy


def with_peaks(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Add the largest |x| of each named inner tensor x as an output ``x.peak``, a number.

    Changes the model.
    """
    inputs = {value.name for value in model.graph.input}
    for name in names:
        if name in inputs:
            continue
        size, peak = f"{name}.size", f"{name}.peak"
        model.graph.node.append(onnx.helper.make_node("Abs", [name], [size]))
        model.graph.node.append(onnx.helper.make_node("ReduceMax", [size], [peak], keepdims=0))
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(peak))
    return model
