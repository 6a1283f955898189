"""Turn a float graph into a mixed-precision graph in fp16 or bf16; some ops keep fp32.

    x -> A -> B -> y     becomes     x -> Cast<fp16> -> A -> Cast<fp32> -> B -> y     B keeps fp32

A node keeps fp32 if one of ``half.RULES`` matches. Casts are inserted only where both types meet;
the graph's own input and output stay fp32. LayerNormalization may run in fp16, because runtimes
compute its sums in fp32. Q/DQ pairs stay, with scales in fp32, and the ops between them get the
16-bit type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..common.onnx_shapes import check_model
from ..convert.graph import (
    constant,
    consumers,
    drop_unused_initializers,
    name_of,
    new_initializer,
)
from ..convert.node_builder import NodeBuilder
from .half import FP16, HalfType, Peaks, is_float, keeps_fp32, why_fp32

_MASK = 2.0**15
"""Masks are clipped to minus this: far enough below any score, and fp16 can represent it."""


@dataclass(frozen=True, kw_only=True)
class HalfGraph:
    """A mixed-precision graph."""

    model: onnx.ModelProto
    kept: dict[str, str]
    """Nodes that keep fp32, by their first output, with the reason."""


def float_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the names of all float32 activations; the rules need the peak of each."""
    graph = ir.from_proto(model).graph
    values = [*graph.inputs, *(v for node in graph for v in node.outputs)]
    return [name_of(v) for v in values if v.dtype == ir.DataType.FLOAT]


class _Caster:
    """Creates each cast, and each copy of a weight in another type, once."""

    def __init__(self, graph: ir.Graph, half: HalfType) -> None:
        self._graph, self._half = graph, half
        self._made: dict[tuple[int, ir.DataType], ir.Value] = {}

    def as_type(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Return ``value`` in another float type."""
        key = (id(value), dtype)
        if key not in self._made:
            array = constant(value)
            self._made[key] = (
                self._cast(value, dtype) if array is None else self._weights(value, array)
            )
        return self._made[key]

    def _weights(self, value: ir.Value, array: npt.NDArray[np.float32]) -> ir.Value:
        rounded = array.astype(self._half.dtype.numpy())
        return new_initializer(self._graph, rounded, f"{value.name}.{self._half.name}")

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        suffix = "fp32" if dtype == ir.DataType.FLOAT else self._half.name
        build, name = NodeBuilder(self._graph), f"{value.name}.to_{suffix}"
        result = build.op("Cast", value, dtype=dtype, name=name, to=dtype.value)
        result.name = f"{value.name}.{suffix}"
        build.insert_behind(value)
        return result


def _soften_masks(graph: ir.Graph, peaks: Peaks) -> dict[str, float]:
    """Clip the constants of attention masks in front of a Softmax: -1e9 is -infinity in fp16.

        Softmax(scores + mask)  ->  Softmax(scores + max(mask, -2^15))

    The result is the same as long as scores differ by less than 2^15. Returns the peaks, with those
    of masked scores replaced by the peaks of the scores alone.
    """
    found = dict(peaks)
    for node in graph:
        behind = [user.op_type for user in consumers(node.outputs[0])]
        if node.op_type not in ("Add", "Where") or behind != ["Softmax"]:
            continue
        arrays = [constant(value) for value in node.inputs]
        scores = [v for v, array in zip(node.inputs, arrays, strict=True) if array is None]
        for index, (value, array) in enumerate(zip(node.inputs, arrays, strict=True)):
            if array is None or array.dtype != np.float32 or not (array < -_MASK).any():
                continue
            # An infinity stays: it is exact in every type.
            kept = np.where(np.isinf(array), array, np.maximum(array, -_MASK)).astype(np.float32)
            clipped = new_initializer(graph, kept, f"{name_of(value)}.mask")
            node.replace_input_with(index, clipped)
            # Masked scores need no accuracy, so the mask does not count in the peaks.
            found[name_of(clipped)] = 0.0
            found[name_of(node.outputs[0])] = max(peaks.get(name_of(v), 0.0) for v in scores)
    return found


def autocast(
    model: onnx.ModelProto,
    peaks: Peaks,
    half: HalfType = FP16,
    excluded: Mapping[str, str] | None = None,
) -> HalfGraph:
    """Cast a clean float graph, or its int8 graph, to ``half`` where no rule forbids it.

    Args:
        model: opset 20, with all types and shapes.
        peaks: the largest |x| of each of ``float_tensors(model)``.
        half: the 16-bit type.
        excluded: nodes, by their first output, that keep fp32 in any case, with the reason.
    """
    copy = ir.from_proto(model)
    graph, caster, excluded = copy.graph, _Caster(copy.graph, half), excluded or {}
    peaks = _soften_masks(graph, peaks)
    reasons = {
        node: excluded.get(name_of(node.outputs[0])) or why_fp32(node, half, peaks)
        for node in graph
    }
    for node in list(graph):
        dtype = ir.DataType.FLOAT if reasons[node] else half.dtype
        for index, value in enumerate(node.inputs):
            expected = ir.DataType.FLOAT if keeps_fp32(node, index) else dtype
            if value is not None and is_float(value) and value.dtype != expected:
                node.replace_input_with(index, caster.as_type(value, expected))
        for value in node.outputs:
            if is_float(value):
                value.type = ir.TensorType(dtype)
    _restore_outputs(graph, caster)
    drop_unused_initializers(graph)
    _raise_opset(copy, half.opset)
    check_model(copy)  # it skips the values of weights
    return HalfGraph(model=ir.to_proto(copy), kept=_reported(reasons))


def _reported(reasons: Mapping[ir.Node, str | None]) -> dict[str, str]:
    """Return why nodes keep fp32, without Q and DQ, which are fp32 by definition."""
    silent = ("QuantizeLinear", "DequantizeLinear")
    return {
        name_of(node.outputs[0]): reason
        for node, reason in reasons.items()
        if reason and node.op_type not in silent
    }


def _raise_opset(model: ir.Model, opset: int) -> None:
    """Declare a later opset: between 20 and 22 ops gained types, and nothing else changed."""
    functions = [function.opset_imports for function in model.functions.values()]
    for imports in (model.graph.opset_imports, *functions):
        imports[""] = max(imports.get("", opset), opset)


def _restore_outputs(graph: ir.Graph, caster: _Caster) -> None:
    """Cast the outputs of the graph back to fp32; their names stay."""
    for index, value in enumerate(list(graph.outputs)):
        if is_float(value) and value.dtype != ir.DataType.FLOAT:
            result = caster.as_type(value, ir.DataType.FLOAT)
            name = value.name
            value.name, result.name = f"{name}.half", name
            graph.outputs[index] = result
