"""Float graph + ranges -> graph in fp16 with fp32 borders, kept in fp32 where fp16 cannot hold.

A node stays in fp32 when a tensor it reads or makes was seen, or a weight of it is, beyond
``LIMIT``, or when its op is known to lose in fp16. Casts stand only where the two kinds meet; the
graph's own input and output stay fp32. A LayerNormalization may run in fp16: runtimes sum it up in
fp32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from ..convert.graph import constant, name_of, new_initializer, typed_like

LIMIT = 512.0
"""Above this fp16's steps are 0.5 or more; at 65504 it ends."""
_ALWAYS_FLOAT = frozenset(
    {"ReduceMean", "ReduceSum", "Pow", "Exp", "Log", "Resize", "CumSum", "Range"}
)


@dataclass(frozen=True, kw_only=True)
class Cast16:
    """A typed graph, and the nodes that stayed in fp32 with the reason."""

    model: onnx.ModelProto
    kept: dict[str, str]


def float_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the names of all float32 activations, whose ranges are needed."""
    graph = ir.from_proto(model).graph
    values = [*graph.inputs, *(v for node in graph for v in node.outputs)]
    return [name_of(v) for v in values if v.dtype == ir.DataType.FLOAT]


def _why_fp32(node: ir.Node, ranges: Mapping[str, float]) -> str | None:
    if node.op_type in _ALWAYS_FLOAT:
        return f"{node.op_type} loses in fp16"
    if _names_its_type(node):
        return f"{node.op_type} names its own type"
    for value in [*node.inputs, *node.outputs]:
        if value is None:
            continue
        array = constant(value)
        if array is None:
            peak = ranges.get(name_of(value), 0.0)
        elif array.dtype == np.float32:
            peak = float(np.abs(array).max(initial=0.0))
        else:
            continue
        if peak > LIMIT:
            return f"{value.name} reaches {peak:.4g}, over {LIMIT:g}"
    return None


def _names_its_type(node: ir.Node) -> bool:
    """Whether an attribute, not an input, makes the output a float: Cast, ConstantOfShape, ..."""
    if not any(_is_float(value) for value in node.outputs):
        return False
    from_float = any(value is not None and _is_float(value) for value in node.inputs)
    return node.op_type == "Cast" or not from_float


class _Caster:
    """Makes each cast and each fp16 copy of a weight once."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
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

    def _weights(self, value: ir.Value, array: np.ndarray) -> ir.Value:
        return new_initializer(self._graph, array.astype(np.float16), f"{value.name}.fp16")

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        suffix = "fp16" if dtype == ir.DataType.FLOAT16 else "fp32"
        node = ir.node(
            "Cast", [value], attributes={"to": dtype.value}, name=f"{value.name}.to_{suffix}"
        )
        result = typed_like(node.outputs[0], value)
        result.name, result.type = f"{value.name}.{suffix}", ir.TensorType(dtype)
        producer = value.producer()
        if producer is None:
            self._graph.insert_before(self._graph[0], [node])
        else:
            self._graph.insert_after(producer, [node])
        return result


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (ir.DataType.FLOAT, ir.DataType.FLOAT16)


def autocast(model: onnx.ModelProto, ranges: Mapping[str, float]) -> Cast16:
    """Type a clean float graph as fp16 wherever it holds.

    Args:
        model: float32 graph, opset 20, with all types and shapes in it.
        ranges: largest |x| seen, for each of ``float_tensors(model)``.
    """
    copy = ir.from_proto(model)
    graph, caster = copy.graph, _Caster(copy.graph)
    reasons = {node: _why_fp32(node, ranges) for node in graph}
    kept = {name_of(node.outputs[0]): reason for node, reason in reasons.items() if reason}
    for node in list(graph):
        dtype = ir.DataType.FLOAT if reasons[node] else ir.DataType.FLOAT16
        for index, value in enumerate(node.inputs):
            if value is not None and _is_float(value) and value.dtype != dtype:
                node.replace_input_with(index, caster.as_type(value, dtype))
        for value in node.outputs:
            if _is_float(value):
                value.type = ir.TensorType(dtype)
    _restore_outputs(graph, caster)
    for name, value in list(graph.initializers.items()):
        if not list(value.uses()):
            del graph.initializers[name]
    common.CheckerPass(full_check=True)(copy)  # leaves out the weights' values
    typed = ir.to_proto(copy)
    return Cast16(model=typed, kept=kept)


def _restore_outputs(graph: ir.Graph, caster: _Caster) -> None:
    for index, value in enumerate(list(graph.outputs)):
        if value.dtype == ir.DataType.FLOAT16:
            result = caster.as_type(value, ir.DataType.FLOAT)
            name = value.name
            value.name, result.name = f"{name}.fp16", name
            graph.outputs[index] = result
