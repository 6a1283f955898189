"""A model that was trained or saved with fake quantization -> the float model, and its ranges.

    x -> Q(s, z) -> DQ(s, z) -> ...   becomes   x -> ...      and the range of x
    DQ(int8 weights)                  becomes   float weights, which lie on their grid

Rules know float graphs, and where pairs stand is decided later, for the target. Ops between a Q
and its DQ (MaxPool, Reshape, Concat and the like on integers) compute on x itself then, which is
the same but for the rounding. A range from low to high is taken as one from -m to m, m the larger:
TensorRT takes no other.

A range that begins at 0 may be an activation: onnxruntime drops a Relu or Clip in front of a Q that
cuts off the same. So x becomes Clip(x, 0, high) there, unless it cannot be negative anyway.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ...errors import ConversionError
from ..graph import (
    attribute,
    constant,
    drop_dead,
    is_read,
    name_of,
    new_initializer,
    replace_value,
    the,
    typed_like,
)
from ..outcome import Outcome, Skip

_LEVELS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}
_ON_INTEGERS = frozenset(
    {
        *("MaxPool", "Reshape", "Transpose", "Concat", "Slice", "Squeeze", "Unsqueeze", "Flatten"),
        *("Gather", "Split", "DepthToSpace", "SpaceToDepth", "Resize", "Pad", "Identity", "Expand"),
    }
)
"""Ops that give the same on numbers of a grid as on their integers."""


_NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "Softmax", "Abs", "HardSigmoid", "Exp", "Softplus"})
_KEEPS_SIGN = _ON_INTEGERS - {"Pad"} | {"AveragePool", "GlobalAveragePool", "Dropout"}


def remove_fake_quantization(model: ir.Model) -> Outcome:
    """Remove every pair; ``ranges`` of the outcome has what was taken out of them.

    Raises:
        ConversionError: a pair makes no sense, or integers go into an op that means them.
    """
    graph, count = model.graph, 0
    ranges, told = dict[ir.Value, float](), dict[ir.Value, str]()
    for node in list(graph):
        if node.op_type == "QuantizeLinear":
            value = the(node.inputs[0])
            low, high = _range(node)
            if constant(value) is None:
                limit = max(-low, high)
                note = "" if _is_even(low, high) else _made_even(low, high, limit)
                if low == 0 and not _cannot_be_negative(value):
                    value = _clipped(graph, node, high)
                ranges[value] = max(limit, ranges.get(value, 0.0))
                told |= {value: note} if note else {}
                ranges |= dict.fromkeys(_floats_behind(node), limit)
                replace_value(node.outputs[0], value)
            else:
                rounded = _rounded(node)
                replace_value(node.outputs[0], new_initializer(graph, rounded, "weights"))
            count += 1
        elif node.op_type == "DequantizeLinear":
            value = the(node.inputs[0])
            array = constant(value)
            if array is not None and array.dtype.kind in "iu":
                value = new_initializer(graph, _dequantized(node, array), f"{name_of(value)}.float")
            replace_value(node.outputs[0], value)
            count += 1
    if count:
        drop_dead(model)
    return Outcome(
        changed=count,
        skipped=tuple(Skip(value=name_of(value), reason=note) for value, note in told.items()),
        ranges={name_of(value): limit for value, limit in ranges.items() if is_read(value)},
    )


def _parameters(node: ir.Node) -> tuple[npt.NDArray, npt.NDArray]:
    """Return scale and zero point of a Q or DQ.

    Raises:
        ConversionError: they depend on the image, or are no positive numbers.
    """
    scale = constant(node.inputs[1])
    zero_value = node.inputs[2] if len(node.inputs) > 2 else None
    zero = constant(zero_value)
    tensor = name_of(node.inputs[0])
    if scale is None or (zero_value is not None and zero is None):
        raise ConversionError(
            f"{tensor} is quantized by a scale that depends on the image; give the float model"
        )
    if not (scale > 0).all() or not np.isfinite(scale).all():
        raise ConversionError(f"{tensor} is quantized by a scale that is not above 0: {scale}")
    return scale, np.zeros(scale.shape, np.uint8) if zero is None else zero


def _range(node: ir.Node) -> tuple[float, float]:
    """Return the lowest and the highest x that a Q represents."""
    scale, zero = _parameters(node)
    tensor = name_of(node.inputs[0])
    if scale.size > 1 and constant(node.inputs[0]) is None:
        raise ConversionError(
            f"{tensor} is quantized with a scale per channel; TensorRT takes one per tensor"
        )
    kind = zero.dtype.name
    if kind not in _LEVELS:
        raise ConversionError(f"{tensor} is quantized to {kind}; int8 and uint8 are taken")
    lowest, highest = _LEVELS[kind]
    step, offset = float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0])
    if lowest + highest + 1 == 2 * offset:  # as many steps to both sides, but for one
        lowest += 1
    return (lowest - offset) * step, (highest - offset) * step


def _is_even(low: float, high: float) -> bool:
    return abs(low + high) <= 1e-6 * high


def _made_even(low: float, high: float, limit: float) -> str:
    return f"its range {low:.4g} to {high:.4g} is taken as {-limit:.4g} to {limit:.4g}"


def _cannot_be_negative(value: ir.Value | None) -> bool:
    """Whether the ops that make a value give nothing below 0; an image has no activation."""
    node = value.producer() if value is not None else None
    if node is None:
        return True
    if node.op_type in _NEVER_NEGATIVE:
        return True
    if node.op_type == "Clip":
        low = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        return low is not None and float(low) >= 0
    if node.op_type == "Concat":
        return all(map(_cannot_be_negative, node.inputs))
    return node.op_type in _KEEPS_SIGN and _cannot_be_negative(node.inputs[0])


def _clipped(graph: ir.Graph, node: ir.Node, high: float) -> ir.Value:
    """Put the activation back that a Q does by the way."""
    bounds = [new_initializer(graph, np.array(v, np.float32), "bound") for v in (0.0, high)]
    made = ir.node("Clip", [node.inputs[0], *bounds])
    graph.insert_before(node, [made])
    value = typed_like(made.outputs[0], the(node.inputs[0]))
    value.name = f"{name_of(node.inputs[0])}.clipped"
    return value


def _spread(array: npt.NDArray, node: ir.Node, rank: int) -> npt.NDArray:
    """Bring scales per channel to where they broadcast."""
    if array.ndim != 1 or array.size == 1:
        return array.reshape(()) if array.size == 1 else array
    axis = attribute(node, "axis", 1) % rank
    return array.reshape([-1 if i == axis else 1 for i in range(rank)])


def _dequantized(node: ir.Node, steps: npt.NDArray) -> npt.NDArray[np.float32]:
    scale, zero = (_spread(each, node, steps.ndim) for each in _parameters(node))
    if steps.dtype == np.int32:  # a bias: no zero point was written, and none is meant
        zero = np.zeros((), np.int32)
    return ((steps.astype(np.float64) - zero) * scale).astype(np.float32)


def _rounded(node: ir.Node) -> npt.NDArray[np.float32]:
    """Round constant weights as their pair does."""
    array = constant(node.inputs[0])
    assert array is not None
    scale, zero = _parameters(node)
    lowest, highest = _LEVELS[zero.dtype.name]
    scale, zero = (_spread(each, node, array.ndim) for each in (scale, zero))
    steps = np.clip(np.round(array / scale) + zero, lowest, highest)
    return ((steps - zero) * scale).astype(np.float32)


def _floats_behind(node: ir.Node) -> list[ir.Value]:
    """Make floats of the integers behind a Q, up to their DQ; return those that ops make.

    Raises:
        ConversionError: an op on the way means integers.
    """
    todo = [node.outputs[0]]
    for value in todo:
        value.type = ir.TensorType(ir.DataType.FLOAT)
        for user, _ in value.uses():
            if user.op_type == "DequantizeLinear":
                continue
            if user.op_type not in _ON_INTEGERS:
                raise ConversionError(
                    f"{user.op_type} at {user.name} computes on the integers of "
                    f"{name_of(node.inputs[0])}; no rule rewrites that: give the float model"
                )
            todo += [output for output in user.outputs if output not in todo]
    return todo[1:]
