"""Remove the Q/DQ pairs of a model that was trained or saved with them; keep their ranges.

    x -> Q(s, z) -> DQ(s, z) -> ...   ->   x -> ...      and the range of x
    DQ(int8 weights)                  ->   float weights, which lie on the int8 grid

Other passes expect float graphs, and quantization places pairs later, as the target needs them. Ops
between a Q and its DQ (MaxPool, Reshape, Concat, ... on integers) then compute on x itself, which
differs only in the rounding. A range from low to high becomes -m to m with m = max(-low, high),
because TensorRT accepts no other. Scales must be constant and positive, and one per tensor for
activations.

A Q whose range begins at 0 can be an activation too: onnxruntime removes a Relu or Clip whose range
the Q clips to anyway. So x becomes Clip(x, 0, high), unless x cannot be negative.

Termination: each Q and DQ is visited once and removed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ...errors import ConversionError
from ..graph import (
    along_axis,
    array_of,
    attribute,
    constant,
    constant_input,
    input_of,
    is_read,
    name_of,
    new_initializer,
    not_none,
    remove_dead_nodes,
    replace_value,
)
from ..node_builder import NodeBuilder
from ..outcome import Outcome, Skip

_LEVELS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}
_ON_INTEGERS = frozenset(
    {
        *("MaxPool", "Reshape", "Transpose", "Concat", "Slice", "Squeeze", "Unsqueeze", "Flatten"),
        *("Gather", "Split", "DepthToSpace", "SpaceToDepth", "Resize", "Pad", "Identity", "Expand"),
    }
)
"""Ops that only move or select values: they compute the same on floats as on integers."""

_NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "Softmax", "Abs", "HardSigmoid", "Exp", "Softplus"})
_KEEPS_SIGN = _ON_INTEGERS - {"Pad"} | {"AveragePool", "GlobalAveragePool", "Dropout"}


@dataclass(frozen=True, kw_only=True)
class _Ranges:
    """What the removed pairs state."""

    limits: dict[ir.Value, float] = field(default_factory=dict)
    """The largest |x| of each value."""
    notes: dict[ir.Value, str] = field(default_factory=dict)
    """How a range was made symmetric."""


def _parameters(node: ir.Node) -> tuple[npt.NDArray, npt.NDArray]:
    """Return scale and zero point of a Q or DQ.

    Raises:
        ConversionError: they depend on the image, or are no positive numbers.
    """
    scale, zero = constant_input(node, 1), constant_input(node, 2)
    tensor = name_of(node.inputs[0])
    if scale is None or (zero is None and input_of(node, 2) is not None):
        raise ConversionError(
            f"the scale of {tensor} depends on the image, expected a constant; use the float model"
        )
    if not (scale > 0).all() or not np.isfinite(scale).all():
        raise ConversionError(
            f"the scale of {tensor} is {scale}, expected above 0; use the float model"
        )
    return scale, np.zeros(scale.shape, np.uint8) if zero is None else zero


def _levels(node: ir.Node, zero: npt.NDArray) -> tuple[int, int]:
    """Return the lowest and the highest integer of a Q.

    Raises:
        ConversionError: it does not quantize to 8 or 16 bits.
    """
    if (kind := zero.dtype.name) not in _LEVELS:
        known = ", ".join(_LEVELS)
        raise ConversionError(
            f"{name_of(node.inputs[0])} is quantized to {kind}, expected one of {known}; use the "
            "float model"
        )
    return _LEVELS[kind]


def _range(node: ir.Node) -> tuple[float, float]:
    """Return the lowest and the highest x that a Q represents."""
    scale, zero = _parameters(node)
    # Weights may have a scale per channel; this is only called for activations.
    if scale.size > 1:
        raise ConversionError(
            f"{name_of(node.inputs[0])} is quantized with a scale per channel, {scale.size} in "
            "all; TensorRT accepts one per tensor; use the float model"
        )
    lowest, highest = _levels(node, zero)
    step, offset = float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0])
    if lowest + highest + 1 == 2 * offset:  # symmetric, except for one more step below 0
        lowest += 1
    return (lowest - offset) * step, (highest - offset) * step


def _cannot_be_negative(value: ir.Value | None) -> bool:
    """Whether the ops that compute a value rule out numbers below 0; also true for the image."""
    node = value.producer() if value is not None else None
    if node is None:
        return True
    if node.op_type in _NEVER_NEGATIVE:
        return True
    if node.op_type == "Clip":
        low = constant_input(node, 1)
        return low is not None and float(low) >= 0
    if node.op_type == "Concat":
        return all(map(_cannot_be_negative, node.inputs))
    return node.op_type in _KEEPS_SIGN and _cannot_be_negative(node.inputs[0])


def _clipped(graph: ir.Graph, node: ir.Node, high: float) -> ir.Value:
    """Add the Clip that a Q implies in front of it."""
    build, value = NodeBuilder(graph), not_none(node.inputs[0])
    clipped = build.op("Clip", value, 0.0, high)
    clipped.name = f"{name_of(value)}.clipped"
    build.insert_before(node)
    return clipped


def _spread(array: npt.NDArray, node: ir.Node, rank: int) -> npt.NDArray:
    """Reshape scales or zero points (C,) so that they broadcast with a tensor of this rank."""
    if array.ndim != 1 or array.size == 1:
        return array.reshape(()) if array.size == 1 else array
    return along_axis(array, attribute(node, "axis", 1), rank)


def _dequantized(node: ir.Node, steps: npt.NDArray) -> npt.NDArray[np.float32]:
    scale, zero = (_spread(each, node, steps.ndim) for each in _parameters(node))
    if steps.dtype == np.int32:  # a bias, whose zero point is always 0
        zero = np.zeros((), np.int32)
    return ((steps.astype(np.float64) - zero) * scale).astype(np.float32)


def _rounded(node: ir.Node) -> npt.NDArray[np.float32]:
    """Return constant weights, rounded as their pair rounds them."""
    array = array_of(node.inputs[0])
    scale, zero = _parameters(node)
    lowest, highest = _levels(node, zero)
    scale, zero = (_spread(each, node, array.ndim) for each in (scale, zero))
    # QuantizeLinear: round to even, add the zero point, saturate; DequantizeLinear behind it.
    steps = np.clip(np.round(array / scale) + zero, lowest, highest)
    return ((steps - zero) * scale).astype(np.float32)


def _floats_behind(node: ir.Node) -> list[ir.Value]:
    """Change the type of the values between a Q and its DQs to float; return all but the Q's.

    Raises:
        ConversionError: an op in between computes something else on floats.
    """
    # The list grows while it is read, down to the DQs.
    todo = [node.outputs[0]]
    for value in todo:
        value.type = ir.TensorType(ir.DataType.FLOAT)
        for user, _ in value.uses():
            if user.op_type == "DequantizeLinear":
                continue
            if user.op_type not in _ON_INTEGERS:
                raise ConversionError(
                    f"{user.op_type} at {user.name} computes on the integers of "
                    f"{name_of(node.inputs[0])}, and no rule rewrites it; use the float model"
                )
            todo += [output for output in user.outputs if output not in todo]
    return todo[1:]


def _remove_quantize(graph: ir.Graph, node: ir.Node, found: _Ranges) -> None:
    """Replace the result of a Q by its input; record the range, or round a constant input."""
    value = not_none(node.inputs[0])
    if constant(value) is not None:
        replace_value(node.outputs[0], new_initializer(graph, _rounded(node), "weights"))
        return
    low, high = _range(node)
    limit = max(-low, high)
    # See the last paragraph on top: the Q may be an activation too.
    if low == 0 and not _cannot_be_negative(value):
        value = _clipped(graph, node, high)
    # Several pairs may read one value; the widest range counts.
    found.limits[value] = max(limit, found.limits.get(value, 0.0))
    if abs(low + high) > 1e-6 * high:
        note = f"its range {low:.4g} to {high:.4g} became {-limit:.4g} to {limit:.4g}"
        found.notes[value] = note
    found.limits.update(dict.fromkeys(_floats_behind(node), limit))
    replace_value(node.outputs[0], value)


def _remove_dequantize(graph: ir.Graph, node: ir.Node) -> None:
    """Replace the result of a DQ by its input, or by its value if that is constant."""
    value = not_none(node.inputs[0])
    array = constant(value)
    if array is not None and array.dtype.kind in "iu":
        value = new_initializer(graph, _dequantized(node, array), f"{name_of(value)}.float")
    replace_value(node.outputs[0], value)


def remove_fake_quantization(model: ir.Model) -> Outcome:
    """Remove every pair; ``ranges`` of the outcome contains their ranges.

    Raises:
        ConversionError: a scale cannot be used, or an op computes on integers in its own way.
    """
    graph, count, found = model.graph, 0, _Ranges()
    for node in list(graph):
        if node.op_type == "QuantizeLinear":
            _remove_quantize(graph, node, found)
            count += 1
        elif node.op_type == "DequantizeLinear":
            _remove_dequantize(graph, node)
            count += 1
    if count:
        remove_dead_nodes(model)
    return Outcome(
        changed=count,
        skipped=tuple(Skip(value=name_of(v), reason=note) for v, note in found.notes.items()),
        ranges={name_of(v): limit for v, limit in found.limits.items() if is_read(v)},
    )
