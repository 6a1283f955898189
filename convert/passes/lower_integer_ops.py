"""Ops on integers, as onnxruntime's quantizer writes them -> float ops between Q/DQ pairs.

    QLinearConv(x, s, z, w, ...)   ->  Q(Conv(DQ(x), DQ(w), DQ(bias)))      and the like
    DynamicQuantizeLinear(x)       ->  x, 1, 0          its scale depends on the image
    MatMulInteger(x, w, 0, z)      ->  MatMul(x, w - z) in float, and the same for ConvInteger

So the weights are what the quantized file says, and the rest is float again.
``remove_fake_quantization`` then takes the ranges out of the pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from ..graph import attribute, constant, new_initializer, take_over, the
from ..outcome import Outcome

_DOMAINS = ("", "ai.onnx", "com.microsoft")
_FLOAT = ir.TensorType(ir.DataType.FLOAT)
Rewrite = Callable[[ir.Graph, ir.Node], list[ir.Node]]


def _dequantize(graph: ir.Graph, node: ir.Node, first: int, made: list[ir.Node]) -> ir.Value:
    """Add the DQ of inputs ``first`` (tensor), + 1 (scale) and + 2 (zero point)."""
    inputs = [node.inputs[first], node.inputs[first + 1], node.inputs[first + 2]]
    axis = {}
    scale = constant(inputs[1])
    if scale is not None and scale.ndim == 1 and scale.size > 1:
        is_conv = node.op_type == "QLinearConv"
        axis = {"axis": 0 if is_conv else 1}
    made.append(ir.node("DequantizeLinear", inputs, attributes=axis))
    made[-1].outputs[0].type = _FLOAT
    return made[-1].outputs[0]


def _op(op: str, inputs: list[ir.Value | None], made: list[ir.Node], **attributes: Any) -> ir.Value:
    made.append(ir.node(op, inputs, attributes=attributes))
    made[-1].outputs[0].type = _FLOAT
    return made[-1].outputs[0]


def _kept(node: ir.Node, *names: str) -> dict[str, object]:
    return {name: node.attributes[name].value for name in names if name in node.attributes}


def _quantize(value: ir.Value, node: ir.Node, first: int, made: list[ir.Node]) -> list[ir.Node]:
    """Add the Q whose scale and zero point are inputs ``first`` and + 1; return all that was made.

    Without a scale (QGemm can do so) the result stays float.
    """
    inputs = list(node.inputs)
    if len(inputs) > first and inputs[first] is not None:
        zero = inputs[first + 1] if len(inputs) > first + 1 else None
        made.append(ir.node("QuantizeLinear", [value, inputs[first], zero]))
        made[-1].outputs[0].type = node.outputs[0].type
    return made


def _bias(graph: ir.Graph, node: ir.Node, index: int, scales: tuple[int, int]) -> ir.Value | None:
    """Return a bias in float: it is int32 in steps of input scale times weight scale."""
    steps = constant(node.inputs[index]) if len(node.inputs) > index else None
    if steps is None:
        return None
    one, two = (constant(node.inputs[i]) for i in scales)
    assert one is not None
    assert two is not None
    return new_initializer(graph, (steps * (one * two)).astype(np.float32), "bias")


def _conv(graph: ir.Graph, node: ir.Node) -> list[ir.Node]:
    made: list[ir.Node] = []
    x, w = _dequantize(graph, node, 0, made), _dequantize(graph, node, 3, made)
    bias = _bias(graph, node, 8, (1, 4))
    names = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    result = _op("Conv", [x, w, bias] if bias else [x, w], made, **_kept(node, *names))
    return _quantize(result, node, 6, made)


def _matmul(graph: ir.Graph, node: ir.Node) -> list[ir.Node]:
    made: list[ir.Node] = []
    x, w = _dequantize(graph, node, 0, made), _dequantize(graph, node, 3, made)
    return _quantize(_op("MatMul", [x, w], made), node, 6, made)


def _gemm(graph: ir.Graph, node: ir.Node) -> list[ir.Node]:
    made: list[ir.Node] = []
    x, w = _dequantize(graph, node, 0, made), _dequantize(graph, node, 3, made)
    bias = _bias(graph, node, 6, (1, 4))
    kept = _kept(node, "alpha", "transA", "transB")
    result = _op("Gemm", [x, w, bias] if bias else [x, w], made, **kept)
    return _quantize(result, node, 7, made)


def _binary(op: str) -> Rewrite:
    def rewrite(graph: ir.Graph, node: ir.Node) -> list[ir.Node]:
        made: list[ir.Node] = []
        x, y = _dequantize(graph, node, 0, made), _dequantize(graph, node, 3, made)
        return _quantize(_op(op, [x, y], made), node, 6, made)

    return rewrite


def _unary(op: str, *names: str) -> Rewrite:
    def rewrite(graph: ir.Graph, node: ir.Node) -> list[ir.Node]:
        made: list[ir.Node] = []
        x = _dequantize(graph, node, 0, made)
        return _quantize(_op(op, [x], made, **_kept(node, *names)), node, 3, made)

    return rewrite


def _concat(graph: ir.Graph, node: ir.Node) -> list[ir.Node]:
    made: list[ir.Node] = []
    parts = [_dequantize(graph, node, first, made) for first in range(2, len(node.inputs), 3)]
    return _quantize(_op("Concat", list(parts), made, **_kept(node, "axis")), node, 0, made)


def _integer_product(op: str) -> Rewrite:
    def rewrite(graph: ir.Graph, node: ir.Node) -> list[ir.Node]:
        """What was x in steps of one is x itself, so sums are those of float."""
        made: list[ir.Node] = []
        zeros = [node.inputs[i] if len(node.inputs) > i else None for i in (2, 3)]
        operands: list[ir.Value | None] = []
        for value, zero in zip(node.inputs[:2], zeros, strict=True):
            array, offset = constant(value), constant(zero)
            if array is None:
                operands.append(value)
                continue
            shift = np.float32(0) if offset is None else offset.astype(np.float32)
            if shift.ndim == 1 and op == "Conv":
                shift = shift.reshape(-1, *(1,) * (array.ndim - 1))
            operands.append(new_initializer(graph, array.astype(np.float32) - shift, "weights"))
        names = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
        kept = _kept(node, *names) if op == "Conv" else {}
        _op(op, operands, made, **kept)
        return made

    return rewrite


_REWRITES: dict[str, Rewrite] = {
    "QLinearConv": _conv,
    "QLinearMatMul": _matmul,
    "QGemm": _gemm,
    "QLinearAdd": _binary("Add"),
    "QLinearMul": _binary("Mul"),
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearLeakyRelu": _unary("LeakyRelu", "alpha"),
    "QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    "QLinearAveragePool": _unary(
        "AveragePool",
        "auto_pad",
        "ceil_mode",
        "count_include_pad",
        "kernel_shape",
        "pads",
        "strides",
    ),
    "QLinearSoftmax": _unary("Softmax", "axis"),
    "QLinearConcat": _concat,
    "MatMulInteger": _integer_product("MatMul"),
    "ConvInteger": _integer_product("Conv"),
}


def lower_integer_ops(model: ir.Model) -> Outcome:
    """Rewrite every op on integers that is known."""
    graph, count = model.graph, 0
    for node in list(graph):
        if node.domain not in _DOMAINS:
            continue
        if node.op_type == "DynamicQuantizeLinear":
            _undo_dynamic(graph, node)
            count += 1
            continue
        rewrite = _REWRITES.get(node.op_type)
        if rewrite is None or attribute(node, "channels_last", 0):
            continue
        made = rewrite(graph, node)
        graph.insert_after(node, made)
        if node.op_type in ("MatMulInteger", "ConvInteger"):
            _drop_casts(graph, made[-1].outputs[0], node)
        take_over(node.outputs[0], made[-1].outputs[0])
        graph.remove(node, safe=True)
        count += 1
    return Outcome(changed=count)


def _undo_dynamic(graph: ir.Graph, node: ir.Node) -> None:
    x, (steps, scale, zero) = the(node.inputs[0]), node.outputs
    one = new_initializer(graph, np.ones((), np.float32), "one")
    none = new_initializer(graph, np.zeros((), np.uint8), "none")
    for old, new in ((steps, x), (scale, one), (zero, none)):
        ir.convenience.replace_all_uses_with(old, new)
    graph.remove(node, safe=True)


def _drop_casts(graph: ir.Graph, made: ir.Value, node: ir.Node) -> None:
    """Remove the casts from int32 sums to float behind a product."""
    for user, _ in list(node.outputs[0].uses()):
        if user.op_type == "Cast":
            ir.convenience.replace_all_uses_with(user.outputs[0], made)
            graph.remove(user, safe=True)
