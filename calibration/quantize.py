"""Float graph + ranges -> graph with Q/DQ pairs, valid for onnxruntime, OpenVINO and TensorRT.

    x -> Conv(W, b)   becomes   x -> Q(s_x) -> DQ(s_x) -> Conv(DQ(W_int8, s_W), b)

Activations: symmetric int8, one rank-0 scale per tensor, zero point 0 written out. Weights: int8
initializers and one DQ with a scale per output channel. Biases stay float. One pair per tensor
serves all quantized ops that read it; other readers keep the float tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from ..common.onnx_shapes import check_model
from ..convert.graph import (
    along_axis,
    array_of,
    drop_unused_initializers,
    name_of,
    new_initializer,
    not_none,
)
from ..convert.node_builder import NodeBuilder
from .int8_style import Int8Style
from .placement import Placement, place, residual_skips, shared_ranges, weight_axis

_SMALLEST_SCALE = 1e-7
"""Scale of channels and tensors that are always 0: scales must be positive."""

_SAMPLED = 32
"""Number of weights per row that are compared with a grid first, to reject it quickly."""
_ON_GRID = 2e-3
"""Largest distance of a weight from its grid, in steps, that float32 rounding can cause."""


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """A quantized graph and the decision on every weighted op in it."""

    model: onnx.ModelProto
    placements: tuple[Placement, ...]


def quantized_tensors(
    model: onnx.ModelProto, *, everywhere: bool = False, products: bool = True
) -> list[str]:
    """Return the names of the activations that int8 ops read, whose ranges are needed."""
    graph = ir.from_proto(model).graph
    placements = place(graph, everywhere=everywhere, products=products)
    chosen = {p.node for p in placements if p.reason is None}
    readers = (node for node in graph if node.outputs[0].name in chosen)
    return list(dict.fromkeys(name_of(node.inputs[0]) for node in readers))


def scale_of(limit: float, largest: int = 127) -> np.float32:
    """Return the scale of a range, range / largest; a dead tensor gets the smallest scale."""
    return np.float32(max(limit / largest, _SMALLEST_SCALE))


def quantized_weights(
    weights: npt.NDArray[np.float32], axis: int, largest: int = 127
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return int8 weights and one scale per entry of ``axis``: weights ~ int8 * scale.

    Weights that lie on a grid already, as fake quantization leaves them, stay on it.

    Args:
        weights: float32, of any rank.
        axis: the axis of output channels.
        largest: the largest |int8 weight|.

    Returns:
        int8 of the shape of ``weights``, and float32 (R,) for R entries of the axis.
    """
    rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)  # (R, K)
    scales = np.maximum(np.abs(rows).max(1) / largest, _SMALLEST_SCALE).astype(np.float32)
    scales = _kept_grids(rows, scales, largest)
    steps = np.round(weights / along_axis(scales, axis, weights.ndim))
    return np.clip(steps, -largest, largest).astype(np.int8), scales


def _kept_grids(
    rows: npt.NDArray[np.float32], scales: npt.NDArray[np.float32], largest: int
) -> npt.NDArray[np.float32]:
    """Return the scales, (R,), with those of rows (R, K) that lie on a grid changed to its step."""
    found = scales.copy()
    few = rows[:, :: max(1, rows.shape[1] // _SAMPLED)]  # rules out most grids quickly
    peaks = np.abs(rows).max(1)
    # The largest weight need not be the last level of its grid: try all levels it can be.
    for levels in range(largest, largest // 4, -1):
        step = np.maximum(peaks / levels, _SMALLEST_SCALE)[:, None]  # (R, 1)
        for row in np.nonzero((np.abs(few / step - np.round(few / step)) < _ON_GRID).all(1))[0]:
            whole = rows[row] / step[row]
            # The first grid that fits is the finest, so a row is changed once.
            if found[row] == scales[row] and (np.abs(whole - np.round(whole)) < _ON_GRID).all():
                found[row] = step[row, 0]
    return found


class _PairInserter:
    """Inserts Q/DQ pairs into a graph: one for each tensor, and one DQ for each weight."""

    def __init__(self, graph: ir.Graph, ranges: Mapping[str, float], style: Int8Style) -> None:
        self._graph, self._ranges, self._style = graph, ranges, style
        self._tensors: dict[str, ir.Value] = {}
        self._weights: dict[str, ir.Value] = {}

    def has_pair(self, value: ir.Value) -> bool:
        """Whether a tensor has a pair."""
        return name_of(value) in self._tensors

    def tensor(self, value: ir.Value) -> ir.Value:
        """Insert Q and DQ behind ``value``, once; return the result of DQ."""
        name = name_of(value)
        if name not in self._tensors:
            self._tensors[name] = self._pair(value, name)
        return self._tensors[name]

    def _pair(self, value: ir.Value, name: str) -> ir.Value:
        parameters = [
            new_initializer(self._graph, np.array(scale_of(self._ranges[name])), f"{name}.scale"),
            new_initializer(self._graph, np.zeros((), np.int8), f"{name}.zero"),
        ]
        build, int8 = NodeBuilder(self._graph), ir.DataType.INT8
        steps = build.op("QuantizeLinear", value, *parameters, dtype=int8, name=f"{name}.q")
        rounded = build.op(
            "DequantizeLinear", steps, *parameters, dtype=value.dtype, name=f"{name}.dq"
        )
        steps.name, rounded.name = f"{name}.int8", f"{name}.rounded"
        build.insert_behind(value)
        return rounded

    def weights(self, node: ir.Node) -> ir.Value:
        """Insert int8 weights and their DQ before ``node``, once; return the result of DQ."""
        value, axis = not_none(node.inputs[1]), weight_axis(node)
        # A Conv and a MatMul can share a weight, but not the axis of its scales.
        name = f"{name_of(value)}.axis{axis}"
        if name not in self._weights:
            steps, scales = quantized_weights(array_of(value), axis, self._style.largest_weight)
            inputs = [
                new_initializer(self._graph, steps, f"{name}.int8"),
                new_initializer(self._graph, scales, f"{name}.scale"),
                new_initializer(self._graph, np.zeros(scales.shape, np.int8), f"{name}.zero"),
            ]
            build = NodeBuilder(self._graph)
            rounded = build.op(
                "DequantizeLinear", *inputs, dtype=value.dtype, name=f"{name}.dq", axis=axis
            )
            rounded.name = f"{name}.rounded"
            build.insert_before(node)
            self._weights[name] = rounded
        return self._weights[name]


def quantize(
    model: onnx.ModelProto,
    ranges: Mapping[str, float],
    style: Int8Style | None = None,
    excluded: Mapping[str, str] | None = None,
) -> Quantized:
    """Quantize a clean float graph to int8 wherever ``placement`` allows.

    Args:
        model: float32 graph, opset 20.
        ranges: the largest |x| to represent, of each of ``quantized_tensors(model)``.
        style: requirements of the target.
        excluded: ops, by their first output, that stay in float, with the reason.

    Raises:
        KeyError: a range is missing.
    """
    copy, style = ir.from_proto(model), style or Int8Style()
    graph = copy.graph
    placements = tuple(place(graph, excluded, everywhere=style.everywhere, products=style.products))
    chosen = {placement.node for placement in placements if placement.reason is None}
    if style.shares_scales:
        ranges = shared_ranges(graph, ranges)
    skips = residual_skips(graph, chosen) if style.rounds_skips else {}
    inserter = _PairInserter(graph, ranges, style)
    for node in list(graph):
        if node.outputs[0].name in chosen:
            node.replace_input_with(0, inserter.tensor(not_none(node.inputs[0])))
            node.replace_input_with(1, inserter.weights(node))
    for node, index in skips.items():
        value = not_none(node.inputs[index])
        if inserter.has_pair(value):
            node.replace_input_with(index, inserter.tensor(value))
    common.TopologicalSortPass()(copy)
    drop_unused_initializers(graph)
    check_model(copy)  # it skips the values of weights
    return Quantized(model=ir.to_proto(copy), placements=placements)
