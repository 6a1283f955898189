"""Move an op from behind a view (Transpose, Squeeze, Unsqueeze) to in front of it.

    op(view(x))  =  view'(op'(x))

The tensor x in front of the view is the *stored* tensor. Axis j of the view is axis ``source[j]``
of the stored tensor; stored axes that the view lacks have size 1. op' is op with other axis numbers
and with constants transposed to the stored order:

    view = Transpose<0, 2, 3, 1>:   Softmax<axis = 3>(view(x))  =  view(Softmax<axis = 1>(x))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import Shape, attribute, constant, constant_input, shape_of, static_shape


@dataclass(frozen=True, kw_only=True)
class Axes:
    """A view: ``source`` has the stored axis of each view axis, of ``rank`` stored axes."""

    source: Shape
    rank: int

    @classmethod
    def identity(cls, rank: int) -> Axes:
        """Return the view that shows the stored tensor as it is."""
        return cls(source=tuple(range(rank)), rank=rank)

    @property
    def is_identity(self) -> bool:
        """Whether view and stored tensor are the same."""
        return self.source == tuple(range(self.rank))

    def moves(self, shape: Shape) -> bool:
        """Whether a view of this shape has its elements in another order in memory."""
        long = [axis for axis, size in zip(self.source, shape, strict=True) if size != 1]
        return long != sorted(long)

    def stored_shape(self, shape: Shape) -> Shape:
        """Return the shape of the stored tensor, given the view's."""
        stored = [1] * self.rank
        for axis, size in zip(self.source, shape, strict=True):
            stored[axis] = size
        return tuple(stored)

    def in_stored_axes(self, array: npt.NDArray) -> npt.NDArray:
        """Turn a constant that broadcasts with the view into one for the stored tensor."""
        # Add leading axes of size 1, sort by stored axis, add the axes that the view lacks.
        padded = array.reshape((1,) * (len(self.source) - array.ndim) + array.shape)
        order = np.argsort(self.source)
        return padded.transpose(order).reshape(self.stored_shape(padded.shape))

    def through(self, node: ir.Node) -> Axes | None:
        """Return the view that follows when the view op ``node`` reads this view.

        None for other ops, and for views that are no mapping of axes.
        """
        axes = self._axes_of(node) if node.op_type in ("Squeeze", "Unsqueeze") else None
        if node.op_type == "Transpose":
            perm = attribute(node, "perm", tuple(reversed(range(len(self.source)))))
            return Axes(source=tuple(self.source[axis] for axis in perm), rank=self.rank)
        if node.op_type == "Reshape":
            return self._through_reshape(node)
        if node.op_type == "Squeeze" and axes is not None:
            kept = tuple(s for axis, s in enumerate(self.source) if axis not in axes)
            return Axes(source=kept, rank=self.rank)
        if node.op_type == "Unsqueeze" and axes is not None:
            return self._with_new(sorted(axes))
        return None

    def _with_new(self, places: list[int]) -> Axes | None:
        """Return the view with new axes of size 1 at these places of the result."""
        # Stored axes that the view lacks have size 1 too, so a new axis can be one of them.
        spare = [axis for axis in range(self.rank) if axis not in self.source]
        if len(spare) < len(places):
            return None
        source = list(self.source)
        for place in places:
            source.insert(place, spare.pop(0))
        return Axes(source=tuple(source), rank=self.rank)

    def _through_reshape(self, node: ir.Node) -> Axes | None:
        """Treat a Reshape that only drops and adds axes of size 1 as Squeeze and Unsqueeze."""
        before, after = static_shape(node.inputs[0]), static_shape(node.outputs[0])
        if before is None or after is None:
            return None
        if [size for size in before if size != 1] != [size for size in after if size != 1]:
            return None
        long = tuple(s for s, size in zip(self.source, before, strict=True) if size != 1)
        ones = [place for place, size in enumerate(after) if size == 1]
        return Axes(source=long, rank=self.rank)._with_new(ones)

    def _axes_of(self, node: ir.Node) -> list[int] | None:
        """Return the axes that a Squeeze or Unsqueeze states, as numbers from 0 on."""
        array = constant_input(node, 1)
        if array is None:
            return None
        rank = len(self.source) + (array.size if node.op_type == "Unsqueeze" else 0)
        if not rank:
            return None
        return [int(axis) % rank for axis in array.reshape(-1)]

    def without(self, axes: list[int], *, drop: bool) -> Axes:
        """Return the view of the result of a reduction over view axes.

        With ``drop`` (keepdims = 0) the axes disappear from the view and from the stored tensor.
        """
        if not drop:
            return self
        # The numbers of later stored axes fall by one for each dropped axis.
        gone = sorted(self.source[axis] for axis in axes)
        renamed = {axis: axis - sum(g < axis for g in gone) for axis in range(self.rank)}
        kept = tuple(renamed[s] for axis, s in enumerate(self.source) if axis not in axes)
        return Axes(source=kept, rank=self.rank - len(gone))


@dataclass(frozen=True, kw_only=True)
class RewrittenOp:
    """op', the form of an op that reads the stored tensor."""

    axes: Axes
    """view', the view of the result."""
    constants: dict[int, npt.NDArray] = field(default_factory=dict)
    """Inputs that are replaced, by index."""
    attributes: dict[str, int] = field(default_factory=dict)
    """Attributes that are replaced."""


Rule = Callable[[ir.Node, Axes], RewrittenOp | None]

UNARY = (
    *("Abs", "Cast", "Ceil", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid"),
    *("HardSwish", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu"),
    *("Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Tanh"),
)
"""Ops on each element of their first input."""
BROADCASTING = (
    *("Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Min", "Max", "Where", "Equal", "Greater"),
    *("Less", "GreaterOrEqual", "LessOrEqual", "And", "Or"),
)
"""Ops on several inputs whose shapes are aligned at the last axis."""
_REDUCE = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd")


def _unary(node: ir.Node, axes: Axes) -> RewrittenOp:
    return RewrittenOp(axes=axes)


def _binary(node: ir.Node, axes: Axes) -> RewrittenOp | None:
    if len(shape_of(node.outputs[0])) != len(axes.source):
        return None
    return RewrittenOp(axes=axes, constants=_constants(node, axes, least=2))


def _constants(node: ir.Node, axes: Axes, *, least: int) -> dict[int, npt.NDArray]:
    """Return the constant inputs of ``least`` elements or more, in the stored order of axes."""
    return {
        index: axes.in_stored_axes(array)
        for index, value in enumerate(node.inputs)
        if (array := constant(value)) is not None and array.size >= least
    }


def _reduce(node: ir.Node, axes: Axes) -> RewrittenOp | None:
    array = constant_input(node, 1)
    if array is None or not array.size:  # no axes: over all of them, or over none
        return None
    reduced = [int(axis) % len(axes.source) for axis in array.reshape(-1)]
    stored = np.array([axes.source[axis] for axis in reduced], np.int64)
    drop = not attribute(node, "keepdims", 1)
    return RewrittenOp(axes=axes.without(reduced, drop=drop), constants={1: stored})


def _by_axis(node: ir.Node, axes: Axes) -> RewrittenOp:
    axis = attribute(node, "axis", -1) % len(axes.source)
    return RewrittenOp(axes=axes, attributes={"axis": axes.source[axis]})


def _arg_max(node: ir.Node, axes: Axes) -> RewrittenOp:
    axis = attribute(node, "axis", 0) % len(axes.source)
    after = axes.without([axis], drop=not attribute(node, "keepdims", 1))
    return RewrittenOp(axes=after, attributes={"axis": axes.source[axis]})


def _concat(node: ir.Node, axes: Axes) -> RewrittenOp:
    axis = axes.source[attribute(node, "axis") % len(axes.source)]
    return RewrittenOp(
        axes=axes, constants=_constants(node, axes, least=0), attributes={"axis": axis}
    )


def _pad(node: ir.Node, axes: Axes) -> RewrittenOp | None:
    pads = constant_input(node, 1)
    if pads is None or len(node.inputs) > 3:  # with axes, pads are not one per axis
        return None
    sides = pads.reshape(2, -1)  # in front of each axis, behind each axis
    stored = np.zeros((2, axes.rank), pads.dtype)
    stored[:, list(axes.source)] = sides
    return RewrittenOp(axes=axes, constants={1: stored.reshape(-1)})


def _slice(node: ir.Node, axes: Axes) -> RewrittenOp | None:
    array = constant_input(node, 3)
    if array is None:
        return None
    stored = np.array([axes.source[int(axis) % len(axes.source)] for axis in array], array.dtype)
    return RewrittenOp(axes=axes, constants={3: stored})


def _resize(node: ir.Node, axes: Axes) -> RewrittenOp | None:
    constants = {}
    for index, neutral in ((2, 1.0), (3, 1)):  # scales or sizes
        array = constant_input(node, index)
        if array is not None and array.size == len(axes.source):
            stored = np.full(axes.rank, neutral, array.dtype)
            stored[list(axes.source)] = array
            constants[index] = stored
    roi = constant_input(node, 1)  # of a part of the image; an empty one means none
    if len(constants) != 1 or (node.inputs[1] is not None and (roi is None or roi.size)):
        return None
    if attribute(node, "axes") is not None:
        return None
    if attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        return None
    return RewrittenOp(axes=axes, constants=constants)


def _tile(node: ir.Node, axes: Axes) -> RewrittenOp | None:
    repeats = constant_input(node, 1)
    if repeats is None:
        return None
    stored = np.ones(axes.rank, np.int64)
    stored[list(axes.source)] = repeats
    return RewrittenOp(axes=axes, constants={1: stored})


_RULES: dict[str, Rule] = {
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(BROADCASTING, _binary),
    **dict.fromkeys(_REDUCE, _reduce),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Split"), _by_axis),
    "ArgMax": _arg_max,
    "Concat": _concat,
    "Pad": _pad,
    "Resize": _resize,
    "Slice": _slice,
    "Tile": _tile,
}


def rewritten_op(node: ir.Node, axes: Axes) -> RewrittenOp | None:
    """Return the form of ``node`` that reads the stored tensor; None if it has none."""
    rule = _RULES.get(node.op_type)
    if rule is None or node.domain not in ("", "ai.onnx"):
        return None
    if any(static_shape(value) is None for value in node.outputs):
        return None
    if node.op_type == "Split" and attribute(node, "axis") is None:
        return None
    return rule(node, axes)


def viewed_inputs(node: ir.Node) -> list[int]:
    """Return the indices of the inputs, without constants, that have the axes of the view."""
    many = node.op_type in BROADCASTING or node.op_type == "Concat"
    indices = range(len(node.inputs)) if many else range(1)
    return [i for i in indices if node.inputs[i] is not None and constant(node.inputs[i]) is None]
