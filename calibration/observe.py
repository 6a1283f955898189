"""Observe the tensors of a float graph on calibration images: histograms and largest values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from ..common.inner_tensors import Probe, SessionsBySize
from ..common.input_size import InputSize
from ..errors import InputFileError
from .histogram import EMPTY, Histogram

Batch = npt.NDArray[np.float32]
Feeds = Iterable[Batch]
"""Batches (N, C, H, W), one after the other; H and W are one of the model's input sizes."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Statistics of each tensor on the calibration images."""

    batches: int
    """How many images were run."""
    histograms: dict[str, Histogram]
    """Of |x|, over all images."""
    early: dict[str, Histogram]
    """The same over the first half of the images."""
    peaks: dict[str, float]
    """The largest |x|, also of tensors without a histogram."""


def observe(
    graphs: Mapping[InputSize, onnx.ModelProto],
    feeds: Feeds,
    total: int,
    *,
    histograms: Sequence[str],
    peaks: Sequence[str] = (),
) -> Observation:
    """Run all batches, and record the values of the named tensors.

    Args:
        graphs: float32 graphs with one input (N, C, H, W), by input size; their tensors
            have the same names.
        feeds: batches for them; all are run.
        total: the number of batches.
        histograms: inner tensors, or the input itself, to record histograms of.
        peaks: further tensors, of which only the largest |x| is recorded.

    Raises:
        InputFileError: there is no batch, or a tensor contains NaN or infinity.
    """
    # A histogram needs the whole tensor outside the graph. For the others the graph computes the
    # peak itself, so that a few numbers are copied and not all activations of the model.
    only_peaks = [name for name in peaks if name not in histograms]
    sessions = SessionsBySize(lambda size: _graph(graphs[size], histograms, only_peaks))
    found, highest = dict.fromkeys(histograms, EMPTY), dict.fromkeys(only_peaks, 0.0)
    early, count = dict(found), 0
    for count, batch in enumerate(feeds, 1):
        values = sessions.run(batch)
        for name in (*histograms, *only_peaks):
            try:
                if name in found:
                    found[name] = found[name].add(values[name])
                else:
                    highest[name] = max(highest[name], _finite(values, name))
            except ValueError as error:
                raise InputFileError(
                    f"calibration image {count}: {name} has {error}; leave the image out, or "
                    "correct mean and scale in the spec"
                ) from None
        if count == (total + 1) // 2:
            early = dict(found)  # histograms are immutable, so a shallow copy keeps this state
    if not count:
        raise InputFileError("there are no readable calibration images; expected at least one")
    highest |= {name: histogram.peak for name, histogram in found.items()}
    return Observation(batches=count, histograms=found, early=early, peaks=highest)


def _graph(model: onnx.ModelProto, whole: Sequence[str], peaks: Sequence[str]) -> onnx.ModelProto:
    """Return a graph whose outputs are whole tensors, and for others the largest |x|: ``x.peak``.

    An input of the graph gets no peak, because the caller has the whole tensor.
    """
    probe, inputs = Probe(model), {value.name for value in model.graph.input}
    for name in whole:
        probe.output(name)
    for name in peaks:
        if name not in inputs:
            size = probe.node("Abs", [name], f"{name}.size")
            probe.output(probe.node("ReduceMax", [size], f"{name}.peak", keepdims=0))
    return probe.model


def _finite(values: Mapping[str, Batch], name: str) -> float:
    peak = float(np.abs(values[name]).max() if name in values else values[f"{name}.peak"])
    if not np.isfinite(peak):
        raise ValueError("NaN or infinite values")
    return peak
