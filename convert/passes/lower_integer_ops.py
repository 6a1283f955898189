"""Turn ops on integers, as onnxruntime's quantizer writes them, into float ops and Q/DQ pairs.

    QLinearConv(x, s, z, w, ...)   ->  Q(Conv(DQ(x), DQ(w), bias))          and the like
    DynamicQuantizeLinear(x)       ->  x, 1, 0          its scale depends on the image
    MatMulInteger(x, w, 0, z)      ->  MatMul(x, w - z) in float, and the same for ConvInteger

The result has the weights of the quantized file and computes in float. Later,
``remove_fake_quantization`` reads the ranges from the pairs.

Termination: each node is rewritten once, to ops that no rule of this pass matches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from ..graph import attribute, constant, constant_input, input_of, not_none
from ..node_builder import NodeBuilder, Operand
from ..outcome import Outcome

_DOMAINS = ("", "ai.onnx", "com.microsoft")
_CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
_POOL = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")

Rewrite = Callable[[NodeBuilder, ir.Node], ir.Value]
"""Adds the float ops of a node; returns their result."""


def _dequantize(build: NodeBuilder, node: ir.Node, first: int) -> ir.Value:
    """Add the DQ of inputs ``first`` (tensor), + 1 (scale) and + 2 (zero point)."""
    axis, scale = dict[str, int](), constant_input(node, first + 1)
    if scale is not None and scale.ndim == 1 and scale.size > 1:
        # One scale per output channel: weights are (O, C, ..) in a Conv, and (K, N) elsewhere.
        axis = {"axis": 0 if node.op_type == "QLinearConv" else 1}
    inputs = node.inputs[first : first + 3]
    return build.op("DequantizeLinear", *inputs, dtype=ir.DataType.FLOAT, attributes=axis)


def _kept(node: ir.Node, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: node.attributes[name].value for name in names if name in node.attributes}


def _quantize(build: NodeBuilder, value: ir.Value, node: ir.Node, first: int) -> ir.Value:
    """Add the Q whose scale and zero point are inputs ``first`` and + 1.

    Without a scale (QGemm allows that) the result stays float.
    """
    scale, zero = input_of(node, first), input_of(node, first + 1)
    if scale is None:
        return value
    result = build.op("QuantizeLinear", value, scale, zero)
    result.type = node.outputs[0].type  # that of the zero point
    return result


def _bias(node: ir.Node, index: int, scales: tuple[int, int]) -> tuple[Operand, ...]:
    """Return the bias in float, or nothing. Its scale is that of the input times the weights'."""
    steps = constant_input(node, index)
    if steps is None:
        return ()
    one, two = (constant(node.inputs[i]) for i in scales)
    assert one is not None
    assert two is not None
    return ((steps * (one * two)).astype(np.float32),)


def _conv(build: NodeBuilder, node: ir.Node) -> ir.Value:
    x, w = _dequantize(build, node, 0), _dequantize(build, node, 3)
    result = build.op("Conv", x, w, *_bias(node, 8, (1, 4)), attributes=_kept(node, _CONV))
    return _quantize(build, result, node, 6)


def _gemm(build: NodeBuilder, node: ir.Node) -> ir.Value:
    x, w = _dequantize(build, node, 0), _dequantize(build, node, 3)
    kept = _kept(node, ("alpha", "transA", "transB"))
    return _quantize(
        build, build.op("Gemm", x, w, *_bias(node, 6, (1, 4)), attributes=kept), node, 7
    )


def _binary(op: str) -> Rewrite:
    def rewrite(build: NodeBuilder, node: ir.Node) -> ir.Value:
        x, y = _dequantize(build, node, 0), _dequantize(build, node, 3)
        return _quantize(build, build.op(op, x, y), node, 6)

    return rewrite


def _unary(op: str, *names: str) -> Rewrite:
    def rewrite(build: NodeBuilder, node: ir.Node) -> ir.Value:
        x = _dequantize(build, node, 0)
        return _quantize(build, build.op(op, x, attributes=_kept(node, names)), node, 3)

    return rewrite


def _concat(build: NodeBuilder, node: ir.Node) -> ir.Value:
    # The scale and zero point of the result come first, then three inputs for each part.
    parts = [_dequantize(build, node, first) for first in range(2, len(node.inputs), 3)]
    return _quantize(build, build.op("Concat", *parts, attributes=_kept(node, ("axis",))), node, 0)


def _integer_product(op: str) -> Rewrite:
    def rewrite(build: NodeBuilder, node: ir.Node) -> ir.Value:
        """Rewrite a product of integers as one of floats.

        The activation is float already: ``_undo_dynamic`` gave it the scale 1 and zero point 0.
        """
        operands: list[Operand] = []
        for value, zero in ((node.inputs[i], constant_input(node, 2 + i)) for i in (0, 1)):
            array = constant(value)
            if array is None:
                operands.append(value)
                continue
            shift = np.float32(0) if zero is None else zero.astype(np.float32)
            if shift.ndim == 1 and op == "Conv":  # (O,) -> (O, 1, ..)
                shift = shift.reshape(-1, *(1,) * (array.ndim - 1))
            operands.append(array.astype(np.float32) - shift)
        kept = _kept(node, _CONV) if op == "Conv" else {}
        return build.op(op, *operands, dtype=ir.DataType.FLOAT, attributes=kept)

    return rewrite


_REWRITES: dict[str, Rewrite] = {
    "QLinearConv": _conv,
    "QLinearMatMul": _binary("MatMul"),
    "QGemm": _gemm,
    "QLinearAdd": _binary("Add"),
    "QLinearMul": _binary("Mul"),
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearLeakyRelu": _unary("LeakyRelu", "alpha"),
    "QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    "QLinearAveragePool": _unary("AveragePool", *_POOL),
    "QLinearSoftmax": _unary("Softmax", "axis"),
    "QLinearConcat": _concat,
    "MatMulInteger": _integer_product("MatMul"),
    "ConvInteger": _integer_product("Conv"),
}


def lower_integer_ops(model: ir.Model) -> Outcome:
    """Rewrite every integer op for which there is a rule."""
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
        build = NodeBuilder(graph, shapes=False)
        result = rewrite(build, node)
        if node.op_type in ("MatMulInteger", "ConvInteger"):
            _drop_casts(graph, result, node)
        build.replace([node], result)
        count += 1
    return Outcome(changed=count)


def _undo_dynamic(graph: ir.Graph, node: ir.Node) -> None:
    """DynamicQuantizeLinear(x) -> x, with the scale 1 and the zero point 0."""
    build = NodeBuilder(graph)
    new = (not_none(node.inputs[0]), build.constant(np.float32(1)), build.constant(np.uint8(0)))
    for old, value in zip(node.outputs, new, strict=True):
        ir.convenience.replace_all_uses_with(old, not_none(value))
    graph.remove(node, safe=True)


def _drop_casts(graph: ir.Graph, product: ir.Value, node: ir.Node) -> None:
    """Remove the casts from int32 sums to float behind a product."""
    for user, _ in list(node.outputs[0].uses()):
        if user.op_type == "Cast":
            ir.convenience.replace_all_uses_with(user.outputs[0], product)
            graph.remove(user, safe=True)
