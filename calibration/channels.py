"""Observe each channel of a tensor on calibration images: its mean and its largest |x|."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..common.inner_tensors import Probe, SessionsBySize
from ..common.input_size import InputSize
from ..convert.graph import name_of
from .observe import Feeds
from .quantize import scale_of

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Statistics of one tensor, (C,) each."""

    mean: Vector
    error: Vector
    """Mean of (x rounded to int8) - x; 0 without a range."""
    peak: Vector
    """Largest |x|."""


def channel_axis(reader: ir.Node) -> int:
    """Return the channel axis of the first input of a Conv (1) or a MatMul (the last)."""
    value = reader.inputs[0]
    assert value is not None
    assert value.shape is not None
    return 1 if reader.op_type == "Conv" else len(value.shape) - 1


def read_tensors(graph: ir.Graph, chosen: set[str]) -> dict[str, int]:
    """Return the first inputs of the chosen ops, by tensor name, with their channel axes.

    ``chosen`` names ops by their first output.
    """
    readers = (node for node in graph if node.outputs[0].name in chosen)
    return {name_of(node.inputs[0]): channel_axis(node) for node in readers}


def observe_channels(
    graphs: Mapping[InputSize, onnx.ModelProto],
    feeds: Feeds,
    tensors: Mapping[str, int],
    ranges: Mapping[str, float] | None = None,
) -> dict[str, Channels]:
    """Run batches, and return statistics of the channels of tensors.

    Args:
        graphs: float32 graphs with one input, by input size.
        feeds: batches for them.
        tensors: inner tensors, and the axis of their channels.
        ranges: the int8 range of each tensor, for the error of rounding; without them it is 0.
    """
    sessions = SessionsBySize(lambda size: _with_statistics(graphs[size], tensors, ranges or {}))
    # Mean, error and peak of each tensor; rank 0 broadcasts to (C,) with the first batch.
    sums = {name: [np.zeros(()), np.zeros(()), np.zeros(())] for name in tensors}
    count = 0
    for batch in feeds:
        count += 1
        values = sessions.run(batch)
        for name, parts in sums.items():
            mean = values[f"{name}.mean"].astype(np.float64)  # (C,)
            parts[0] = parts[0] + mean
            parts[1] = parts[1] + values.get(f"{name}.rounded_mean", mean) - mean
            parts[2] = np.maximum(parts[2], values[f"{name}.channel_peak"])
    return {
        name: Channels(mean=mean / count, error=error / count, peak=peak)
        for name, (mean, error, peak) in sums.items()
    }


def _with_statistics(
    model: onnx.ModelProto, tensors: Mapping[str, int], ranges: Mapping[str, float]
) -> onnx.ModelProto:
    """Return the model with means and peaks of channels, (C,) each, as its only outputs."""
    probe, ranks = Probe(model), _ranks(model)
    for name, axis in tensors.items():
        others = np.array([i for i in range(ranks[name]) if i != axis], np.int64)
        axes = probe.constant(others, f"{name}.axes")
        size = probe.node("Abs", [name], f"{name}.size")
        probe.output(probe.node("ReduceMax", [size, axes], f"{name}.channel_peak", keepdims=0))
        probe.output(probe.node("ReduceMean", [name, axes], f"{name}.mean", keepdims=0))
        if name in ranges:
            grid = [
                probe.constant(np.array(scale_of(ranges[name])), f"{name}.step"),
                probe.constant(np.array(0, np.int8), f"{name}.null"),
            ]
            steps = probe.node("QuantizeLinear", [name, *grid], f"{name}.steps")
            rounded = probe.node("DequantizeLinear", [steps, *grid], f"{name}.on_grid")
            mean = probe.node("ReduceMean", [rounded, axes], f"{name}.rounded_mean", keepdims=0)
            probe.output(mean)
    return probe.model


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    infos = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    return {info.name: len(info.type.tensor_type.shape.dim) for info in infos}
