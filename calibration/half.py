"""Rules that keep nodes in fp32 because fp16 or bf16 cannot represent their values.

Each rule is a function of a node, the 16-bit type, and the largest |x| observed of each tensor. It
returns the reason why the node must keep fp32, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from ..convert.graph import attribute, constant, name_of, static_shape

Peaks = Mapping[str, float]
"""Tensor -> the largest |x| observed. An entry for a constant replaces the peak of its array."""


@dataclass(frozen=True, kw_only=True)
class HalfType:
    """A 16-bit float type."""

    name: str
    dtype: ir.DataType
    limit: float
    """A tensor whose peak is above this keeps fp32."""
    smallest: float
    """The smallest positive number; numbers up to half of it become 0."""
    opset: int
    """The first opset in which every op accepts the type."""


FP16 = HalfType(name="fp16", dtype=ir.DataType.FLOAT16, limit=512.0, smallest=2.0**-24, opset=20)
"""From 512 on its steps are 0.5 or more. Its largest number is 65504, which sums exceed first."""
BF16 = HalfType(name="bf16", dtype=ir.DataType.BFLOAT16, limit=1e38, smallest=2.0**-133, opset=22)
HALF_TYPES = {half.name: half for half in (FP16, BF16)}

_SUMS = frozenset({"ReduceSum", "ReduceMean", "ReduceL1"})
_LOSES = frozenset(
    {
        *("Pow", "Exp", "Log", "CumSum", "Range", "Softplus", "LogSoftmax"),
        *("ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd"),
    }
)
_OWN_SCALE = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})


def is_float(value: ir.Value | None) -> bool:
    """Whether a value is of a floating-point type that may be changed to another."""
    kinds = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
    return value is not None and value.dtype in kinds


def _kind_loses(node: ir.Node, half: HalfType, peaks: Peaks) -> str | None:
    if node.op_type in _LOSES:
        return f"{node.op_type} is too inaccurate in {half.name}"
    if node.op_type in _OWN_SCALE:
        return f"the scale of {node.op_type} must stay exact"
    return None


def _names_its_type(node: ir.Node, half: HalfType, peaks: Peaks) -> str | None:
    """Match ops whose output type comes from an attribute: Cast, ConstantOfShape, ..."""
    if not any(is_float(value) for value in node.outputs):
        return None
    if node.op_type == "Cast" or not any(is_float(value) for value in node.inputs):
        return f"an attribute of {node.op_type} fixes its output type"
    return None


def _sum_overflows(node: ir.Node, half: HalfType, peaks: Peaks) -> str | None:
    if node.op_type not in _SUMS:
        return None
    source, result = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    if source is None or result is None:
        return f"{node.op_type} sums an unknown number of values"
    # The worst case: all summands are as large as the largest, with the same sign.
    count = int(np.prod(source)) // max(1, int(np.prod(result)))
    reach = count * peaks.get(name_of(node.inputs[0]), 0.0)
    if reach > half.limit:
        return (
            f"{node.op_type} sums {count} values and may reach {reach:.4g}; the limit for "
            f"{half.name} is {half.limit:g}"
        )
    return None


def _value_overflows(node: ir.Node, half: HalfType, peaks: Peaks) -> str | None:
    for index, value in enumerate([*node.inputs, *node.outputs]):
        if value is None or keeps_fp32(node, index):
            continue
        array = constant(value)
        if array is None or name_of(value) in peaks:
            peak = peaks.get(name_of(value), 0.0)
        elif array.dtype == np.float32:
            finite = array[np.isfinite(array)]  # the infinity of a mask is exact in every type
            peak = float(np.abs(finite).max(initial=0.0))
        else:
            continue
        if peak > half.limit:
            return f"{value.name} reaches {peak:.4g}; the limit for {half.name} is {half.limit:g}"
    return None


def _number_vanishes(node: ir.Node, half: HalfType, peaks: Peaks) -> str | None:
    """Match a scalar constant that becomes 0: it is an epsilon or a bound, and 0 changes the op."""
    for index, value in enumerate(node.inputs):
        array = constant(value)
        if array is None or array.size != 1 or keeps_fp32(node, index) or array.dtype.kind != "f":
            continue
        size = abs(float(array.reshape(-1)[0]))
        if 0 < size <= half.smallest / 2:
            return f"{name_of(value)} is {size:.2g}, which rounds to 0 in {half.name}"
    return None


def _inner_epsilon_vanishes(node: ir.Node, half: HalfType, peaks: Peaks) -> str | None:
    size = attribute(node, "epsilon", 1.0)
    # Runtimes sum up a LayerNormalization in fp32, where its epsilon does not vanish.
    if 0 < size <= half.smallest / 2 and node.op_type != "LayerNormalization":
        return f"its epsilon is {size:.2g}, which rounds to 0 in {half.name}"
    return None


def _builder_refuses(node: ir.Node, half: HalfType, peaks: Peaks) -> str | None:
    if node.op_type == "ConvTranspose" and half is BF16:
        # TensorRT-RTX 1.7 has none.
        return "no bf16 deconvolution: few runtimes have kernels for it"
    return None


def _holds_a_body(node: ir.Node, half: HalfType, peaks: Peaks) -> str | None:
    """Match a Loop: the nodes in its body have no casts, so the values that it carries stay."""
    if any(item.type == ir.AttributeType.GRAPH for item in node.attributes.values()):
        return f"the body of a {node.op_type} computes in fp32"
    return None


RULES: tuple[Callable[[ir.Node, HalfType, Peaks], str | None], ...] = (
    _holds_a_body,
    _kind_loses,
    _names_its_type,
    _sum_overflows,
    _value_overflows,
    _number_vanishes,
    _inner_epsilon_vanishes,
    _builder_refuses,
)


def keeps_fp32(node: ir.Node, index: int) -> bool:
    """Whether ONNX requires fp32 at an input in every precision of the node: Resize's scales."""
    return node.op_type == "Resize" and 0 < index < len(node.inputs)


def why_fp32(node: ir.Node, half: HalfType, peaks: Peaks) -> str | None:
    """Return the first reason why a node cannot compute in ``half``, or None."""
    return next((why for rule in RULES if (why := rule(node, half, peaks))), None)
