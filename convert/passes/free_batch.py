"""Turn a graph that was traced at batch size 2 into one for any batch size N.

    Reshape(x, [.., 2 k, ..])   ->  Reshape(x, [.., -1, ..])        on the axis that holds the batch
    x + constant (2, ..)        ->  x + constant (1, ..)            if both slices are equal;
                                                                    MatMul too
    Concat(x, constant (2, ..)) ->  Concat(x, Expand(constant, N))  the same; states of an LSTM too

All shapes must be known. The graph is walked once, in order, and the shapes at a batch of 3 are
inferred: the axis whose size differs from that at batch 2 is the batch axis. Then the result is
checked by running it: at batch 1 and 3 it must compute the same for each image as the traced graph.
If it does not, or if a node cannot be rewritten, the model stays unchanged.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..analysis.axes import BROADCASTING
from ..analysis.batches import agree_on_batches
from ..graph import (
    OPSET,
    Shape,
    constant,
    constant_input,
    graph_of,
    name_of,
    not_none,
    set_constant_input,
    shape_of,
    static_shape,
)
from ..node_builder import NodeBuilder
from ..outcome import Outcome, Skip
from ..recurrent.free_loops import free_loop

_ROUNDING = 1e-6  # of a folded product, which can round equal slices in different ways
_OTHER = 3
"""The batch size at which shapes are inferred again; any number but 1 and 2."""
_BROADCAST = {*BROADCASTING, "Mod"}
_STATEFUL = ("LSTM", "GRU", "RNN")
_FIRST_STATE = 5
"""Input index of initial_h, (1, N, H), of a recurrent op; initial_c of an LSTM is the next."""
_MOST_NUMBERS = 64
"""Constants up to this size are passed to shape inference: shapes, axes and the like."""


class _BoundError(Exception):
    """A value prevents a free batch axis; ``skip`` states which value and why."""

    def __init__(self, value: ir.Value, reason: str) -> None:
        super().__init__(reason)
        self.skip = Skip(value=name_of(value), reason=reason)


class _Walk:
    """Visits a graph with another batch size, and rewrites what depends on batch size 2."""

    def __init__(self, model: ir.Model) -> None:
        self.graph = model.graph
        (self.image,) = model.graph.inputs
        self.batch, self.other = shape_of(self.image)[0], _OTHER
        # Shapes at batch _OTHER, only of values that depend on the image.
        self.shapes: dict[ir.Value, Shape] = {self.image: (_OTHER, *shape_of(self.image)[1:])}
        self.count: ir.Value | None = None
        """The batch size as a value (1,), once it is needed."""

    def axis(self, value: ir.Value | None) -> int | None:
        """Return the axis of a value that holds the batch; None if no axis does."""
        if value is None or value not in self.shapes:
            return None
        pairs = zip(shape_of(value), self.shapes[value], strict=True)
        differing = [axis for axis, (old, new) in enumerate(pairs) if old != new]
        if len(differing) > 1:
            raise _BoundError(value, "more than one of its axes depends on the batch size")
        return differing[0] if differing else None

    def walk(self) -> None:
        """Visit all nodes."""
        self.visit(self.graph)

    def visit(self, graph: ir.Graph) -> None:
        """Visit the nodes of the graph, or of a body inside it, in order."""
        for node in list(graph):
            for value in node.outputs:
                if value.name and static_shape(value) is None:
                    raise _BoundError(value, f"the shape of this {node.op_type} is not known")
            if node.op_type == "Loop":
                self._loop(node)
            else:
                self._free(node)
                self._infer(node)

    def _free(self, node: ir.Node) -> None:
        """Rewrite a node whose constants contain the batch size."""
        if node.op_type == "Reshape":
            self._reshape(node)
        elif node.op_type == "Expand":
            self._expand(node)
        elif node.op_type in _BROADCAST or node.op_type == "MatMul":
            self._slice_constants(node)
        elif node.op_type == "Concat":
            self._expand_constants(node, range(len(node.inputs)), self._axis_of_any(node))
        elif node.op_type in _STATEFUL and self.axis(node.inputs[0]) == 1:
            self._expand_constants(node, range(_FIRST_STATE, len(node.inputs)), 1)

    def _loop(self, node: ir.Node) -> None:
        reason = free_loop(self, node, self._expanded)
        if reason is not None:
            raise _BoundError(node.outputs[0], reason)

    def _axis_of_any(self, node: ir.Node) -> int | None:
        found = {self.axis(value) for value in node.inputs} - {None}
        return found.pop() if len(found) == 1 else None

    def _reshape(self, node: ir.Node) -> None:
        source, axis = not_none(node.inputs[0]), self.axis(node.inputs[0])
        if axis is None:
            return
        # The batch axis of the result has as many elements in front of it as that of the input.
        outer, before = math.prod(shape_of(source)[:axis]), 1
        target = list(shape_of(node.outputs[0]))
        for place, size in enumerate(target):
            if before == outer and size % self.batch == 0:
                target[place] = -1
                set_constant_input(node, 1, np.array(target, np.int64))
                return
            before *= size
        raise _BoundError(
            node.outputs[0],
            f"the Reshape of {list(shape_of(source))} to {target} mixes images of the batch",
        )

    def _expand(self, node: ir.Node) -> None:
        axis, target = self.axis(node.inputs[0]), constant_input(node, 1)
        if axis is None or target is None:
            return
        # Shapes are aligned at their last axes; 1 keeps the size that the input has.
        place = axis + len(target) - len(shape_of(node.inputs[0]))
        kept = target.copy()
        kept[place] = 1
        set_constant_input(node, 1, kept)

    def _one_slice(self, value: ir.Value, axis: int) -> npt.NDArray | None:
        """Return one slice of a constant along its batch axis; None if it has no such axis."""
        array = constant(value)
        if array is None or not 0 <= axis < array.ndim or array.shape[axis] != self.batch:
            return None
        first = np.take(array, [0], axis)
        if not np.allclose(array, first, rtol=_ROUNDING, atol=_ROUNDING):
            raise _BoundError(value, "this constant differs between the images of the batch")
        return first

    def _slice_constants(self, node: ir.Node) -> None:
        rank = len(shape_of(node.outputs[0]))
        axes = {  # of the result: shapes are aligned at their last axes
            rank - len(shape_of(value)) + axis
            for value in node.inputs
            if (axis := self.axis(value)) is not None
        }
        # The last two axes of a MatMul are those of the matrices, which are not broadcast.
        limit = rank - 2 if node.op_type == "MatMul" else rank
        for axis in (axis for axis in axes if axis < limit):
            # The same axis in the constant's own, perhaps shorter, shape.
            for index, value in enumerate(node.inputs):
                if value is None or constant(value) is None:
                    continue
                own = axis - (rank - len(shape_of(value)))
                if (one := self._one_slice(value, own)) is not None:
                    set_constant_input(node, index, one)

    def _expand_constants(self, node: ir.Node, places: range, axis: int | None) -> None:
        build = NodeBuilder(graph_of(node))
        for index in places if axis is not None else ():
            value = node.inputs[index]
            one = self._one_slice(value, axis or 0) if value is not None else None
            if value is not None and one is not None:
                node.replace_input_with(index, self._expanded(build, value, one, axis or 0))
        build.insert_before(node)

    def _expanded(
        self, build: NodeBuilder, value: ir.Value, one: npt.NDArray, axis: int
    ) -> ir.Value:
        """Add Expand(one, (1, .., N, .., 1)), which is ``value`` at any batch."""
        # The target shape (1, .., N, .., 1); Expand keeps the other axes of the slice.
        parts = ((1,) * axis, self.batch_size(), (1,) * (one.ndim - axis - 1))
        filled = [part for part in parts if part != ()]
        target = build.op("Concat", *filled, shape=(one.ndim,), axis=0)
        shape = shape_of(value)
        expanded = build.op("Expand", build.constant(one), target, shape=shape)
        self.shapes[expanded] = (*shape[:axis], _OTHER, *shape[axis + 1 :])
        return expanded

    def batch_size(self) -> ir.Value:
        """Return the batch size of the image, (1,)."""
        if self.count is None:
            build = NodeBuilder(self.graph)
            self.count = build.op(
                "Shape", self.image, shape=(1,), dtype=ir.DataType.INT64, start=0, end=1
            )
            build.insert_behind(self.image)
        return self.count

    def _infer(self, node: ir.Node) -> None:
        """Infer the shapes of a node's results at the other batch."""
        if not any(self.axis(value) is not None for value in node.inputs):
            return
        if node.domain not in ("", "ai.onnx"):  # our own ops: NCHW in, NCHW out
            for value in node.outputs:
                self.shapes[value] = (_OTHER, *shape_of(value)[1:])
            return
        found = self._inferred(node)
        for value in node.outputs:
            # Optional results that the node leaves out have no name.
            if value.name in found:
                dims = found[value.name].tensor_type.shape.dim
                sizes = tuple(d.dim_value for d in dims)
                if len(sizes) != len(shape_of(value)) or 0 in sizes:
                    raise _BoundError(
                        value, f"the shape of this {node.op_type} at another batch is not known"
                    )
                self.shapes[value] = sizes

    def _inferred(self, node: ir.Node) -> dict[str, onnx.TypeProto]:
        """Run ONNX's shape inference of one node; result types by name."""
        arrays = {v: constant(v) for v in node.inputs if v is not None}
        try:
            return onnx.shape_inference.infer_node_outputs(
                onnx.defs.get_schema(node.op_type, OPSET, ""),
                ir.to_proto(node),
                {name_of(v): self._type(v) for v in arrays},
                {
                    name_of(v): onnx.numpy_helper.from_array(array)
                    for v, array in arrays.items()
                    if array is not None and array.size < _MOST_NUMBERS
                },
                ir_version=10,
                opset_imports=[onnx.helper.make_opsetid("", OPSET)],
            )
        except onnx.shape_inference.InferenceError as error:
            reason = str(error).strip().splitlines()[-1]
            raise _BoundError(
                node.outputs[0], f"{node.op_type} at batch {_OTHER}: {reason}"
            ) from None

    def _type(self, value: ir.Value) -> onnx.TypeProto:
        shape = self.shapes.get(value) or shape_of(value)
        assert value.dtype is not None
        return onnx.helper.make_tensor_type_proto(value.dtype.value, shape)

    def check_result(self) -> None:
        """Check that the first axis of the output is the batch."""
        (result,) = self.graph.outputs
        if (axis := self.axis(result)) == 0:
            return
        sizes = list(shape_of(result))
        reason = f"the output {sizes} has no axis for the batch"
        if axis is not None and sizes[axis] > self.batch:
            reason = f"axis {axis} of the output {sizes} contains the results of all images"
        elif axis is not None:
            reason = f"axis {axis} of the output {sizes} is the batch, expected axis 0"
            if (axis, len(sizes)) == (1, 3):
                reason += "; if its first axis is time, set output.layout: TNC in the spec"
        raise _BoundError(result, reason)

    def name_shapes(self) -> None:
        """Name the batch axis of every value "N", or "kN" if it holds k entries per image."""
        for value in self.shapes:
            axis = self.axis(value)
            if axis is not None:
                shape: list[int | str] = list(shape_of(value))
                # Heads merged into the batch, (N H, T, D), make a multiple of it.
                factor = shape_of(value)[axis] // self.batch
                shape[axis] = "N" if factor == 1 else f"{factor}N"
                value.shape = ir.Shape(shape)


def free_batch(model: ir.Model) -> Outcome:
    """Free the batch axis in place, or leave the model as it is and report why."""
    (result,) = model.graph.outputs
    # The copy is what the result is compared with, and what is restored on failure.
    fixed, walk = ir.to_proto(model), _Walk(model)
    try:
        walk.walk()
        walk.check_result()
        walk.name_shapes()
        if agree_on_batches(fixed, ir.to_proto(model), walk.batch):
            return Outcome(changed=1)
        skip = Skip(
            value=name_of(result),
            reason="at batch sizes 1 and 3 it differs from the result at the fixed batch size",
        )
    except _BoundError as bound:
        skip = bound.skip
    model.graph = ir.from_proto(fixed).graph
    return Outcome(changed=0, skipped=(skip,))
