"""A graph made at batch size 2 -> the same graph for any batch size N.

    Reshape(x, [.., 2 k, ..])   ->  Reshape(x, [.., -1, ..])        on the axis the batch went to
    x + constant (2, ..)        ->  x + constant (1, ..)            both slices of it are equal
    Concat(x, constant (2, ..)) ->  Concat(x, Expand(constant, N))  the same; states of an LSTM too

Where the batch is, is found by walking the graph with a batch of 3 and comparing shapes. The result
is proven by running it: at batch 1 and 3 it must give, image by image, what the fixed graph
gives.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx_ir as ir

from ..analysis.regions import evaluate
from ..graph import (
    OPSET,
    constant,
    name_of,
    new_initializer,
    shape_of,
    static_shape,
    the,
    typed_like,
)
from ..outcome import Outcome, Skip

_TOLERANCE = 1e-4
_OTHER = 3
"""The batch that the graph is walked with."""
_BROADCAST = {
    *("Add", "Sub", "Mul", "Div", "Pow", "Where", "PRelu", "Min", "Max", "Equal", "Greater"),
    *("Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Mod"),
}
_STATEFUL = ("LSTM", "GRU", "RNN")

Shape = tuple[int, ...]


class _BoundError(Exception):
    """Something cannot be freed: (value, reason)."""

    def __init__(self, value: ir.Value, reason: str) -> None:
        super().__init__(reason)
        self.skip = Skip(value=name_of(value), reason=reason)


class _Walk:
    """Walks a graph with another batch size, and frees what stands in the way."""

    def __init__(self, model: ir.Model) -> None:
        self.graph = model.graph
        (self.image,) = model.graph.inputs
        self.batch = shape_of(self.image)[0]
        self.shapes: dict[ir.Value, Shape] = {self.image: (_OTHER, *shape_of(self.image)[1:])}
        self.count: ir.Value | None = None

    def axis(self, value: ir.Value | None) -> int | None:
        """Return the axis of a value that the batch is in, None if it does not depend on it."""
        if value is None or value not in self.shapes:
            return None
        pairs = zip(shape_of(value), self.shapes[value], strict=True)
        differing = [axis for axis, (old, new) in enumerate(pairs) if old != new]
        if len(differing) > 1:
            raise _BoundError(value, "the batch is in more than one of its axes")
        return differing[0] if differing else None

    def walk(self) -> None:
        """Visit all nodes in order."""
        for node in list(self.graph):
            for value in node.outputs:
                if value.name and static_shape(value) is None:
                    raise _BoundError(value, f"the shape of this {node.op_type} is not known")
            if node.op_type == "Reshape":
                self._reshape(node)
            elif node.op_type == "Expand":
                self._expand(node)
            elif node.op_type in _BROADCAST:
                self._slice_constants(node)
            elif node.op_type == "Concat":
                self._expand_constants(node, range(len(node.inputs)), self._axis_of_any(node))
            elif node.op_type in _STATEFUL and self.axis(node.inputs[0]) == 1:
                self._expand_constants(node, range(5, len(node.inputs)), 1)
            self._infer(node)

    def _axis_of_any(self, node: ir.Node) -> int | None:
        found = {self.axis(value) for value in node.inputs} - {None}
        return found.pop() if len(found) == 1 else None

    def _reshape(self, node: ir.Node) -> None:
        source, axis = the(node.inputs[0]), self.axis(node.inputs[0])
        if axis is None:
            return
        outer, before = math.prod(shape_of(source)[:axis]), 1
        target = list(shape_of(node.outputs[0]))
        for place, size in enumerate(target):
            if before == outer and size % self.batch == 0:
                target[place] = -1
                free = new_initializer(self.graph, np.array(target, np.int64), "shape")
                node.replace_input_with(1, free)
                return
            before *= size
        raise _BoundError(
            node.outputs[0], f"{list(shape_of(source))} is reshaped to {target}, across the batch"
        )

    def _expand(self, node: ir.Node) -> None:
        axis, target = self.axis(node.inputs[0]), constant(node.inputs[1])
        if axis is None or target is None:
            return
        place = axis + len(target) - len(shape_of(the(node.inputs[0])))
        kept = target.copy()
        kept[place] = 1
        node.replace_input_with(1, new_initializer(self.graph, kept, "shape"))

    def _one_slice(self, value: ir.Value, axis: int) -> np.ndarray | None:
        """Return a constant cut to one slice along its batch axis, None if it has no such axis."""
        array = constant(value)
        if array is None or not 0 <= axis < array.ndim or array.shape[axis] != self.batch:
            return None
        first = np.take(array, [0], axis)
        if (array != first).any():
            raise _BoundError(value, "it holds a number for each image of the batch")
        return first

    def _slice_constants(self, node: ir.Node) -> None:
        rank = len(shape_of(node.outputs[0]))
        axes = {
            rank - len(shape_of(the(value))) + axis
            for value in node.inputs
            if (axis := self.axis(value)) is not None
        }
        for axis in axes:
            for index, value in enumerate(node.inputs):
                if value is None or constant(value) is None:
                    continue
                own = axis - (rank - len(shape_of(value)))
                if (one := self._one_slice(value, own)) is not None:
                    node.replace_input_with(index, new_initializer(self.graph, one, name_of(value)))

    def _expand_constants(self, node: ir.Node, places: range, axis: int | None) -> None:
        for index in places if axis is not None else ():
            value = node.inputs[index]
            one = self._one_slice(value, axis or 0) if value is not None else None
            if value is None or one is None:
                continue
            made = self._expanded(value, one, axis or 0)
            self.graph.insert_before(node, made)
            node.replace_input_with(index, made[-1].outputs[0])

    def _expanded(self, value: ir.Value, one: np.ndarray, axis: int) -> list[ir.Node]:
        """Make Expand(one, (1, .., N, .., 1))."""
        if self.count is None:
            count = ir.node("Shape", [self.image], attributes={"start": 0, "end": 1})
            self.count = count.outputs[0]
            self.count.type, self.count.shape = ir.TensorType(ir.DataType.INT64), ir.Shape([1])
            self.graph.insert_before(self.graph[0], [count])
        ones = [np.ones(n, np.int64) for n in (axis, one.ndim - axis - 1)]
        parts = [new_initializer(self.graph, part, "ones") if part.size else None for part in ones]
        inputs = [v for v in (parts[0], self.count, parts[1]) if v is not None]
        shape = ir.node("Concat", inputs, attributes={"axis": 0})
        shape.outputs[0].type = ir.TensorType(ir.DataType.INT64)
        shape.outputs[0].shape = ir.Shape([one.ndim])
        first = new_initializer(self.graph, one, name_of(value))
        expand = ir.node("Expand", [first, shape.outputs[0]])
        typed_like(expand.outputs[0], value, shape_of(value))
        new = list(shape_of(value))
        new[axis] = _OTHER
        self.shapes[expand.outputs[0]] = tuple(new)
        return [shape, expand]

    def _infer(self, node: ir.Node) -> None:
        """Work out the shapes that a node's results have at the other batch."""
        if not any(self.axis(value) is not None for value in node.inputs):
            return
        if node.domain not in ("", "ai.onnx"):  # our own: NCHW in, NCHW out
            for value in node.outputs:
                self.shapes[value] = (_OTHER, *shape_of(value)[1:])
            return
        try:
            found = onnx.shape_inference.infer_node_outputs(
                onnx.defs.get_schema(node.op_type, OPSET, ""),
                ir.to_proto(node),
                {name_of(v): self._type(v) for v in node.inputs if v is not None},
                {
                    name_of(v): onnx.numpy_helper.from_array(array)
                    for v in node.inputs
                    if v is not None and (array := constant(v)) is not None and array.size < 64
                },
                ir_version=10,
                opset_imports=[onnx.helper.make_opsetid("", OPSET)],
            )
        except onnx.shape_inference.InferenceError as error:
            reason = str(error).strip().splitlines()[-1]
            raise _BoundError(
                node.outputs[0], f"{node.op_type} at batch {_OTHER}: {reason}"
            ) from None
        for value in node.outputs:
            if value.name in found:
                dims = found[value.name].tensor_type.shape.dim
                sizes = tuple(d.dim_value for d in dims)
                if len(sizes) != len(shape_of(value)) or 0 in sizes:
                    raise _BoundError(
                        value, f"the shape of a {node.op_type} at another batch is open"
                    )
                self.shapes[value] = sizes

    def _type(self, value: ir.Value) -> onnx.TypeProto:
        shape = self.shapes.get(value) or shape_of(value)
        assert value.dtype is not None
        return onnx.helper.make_tensor_type_proto(value.dtype.value, shape)

    def name_shapes(self) -> None:
        """Let the batch axis of every value be called "N", or "kN" if it holds k per image."""
        for value in self.shapes:
            axis = self.axis(value)
            if axis is not None:
                shape: list[int | str] = list(shape_of(value))
                factor = shape_of(value)[axis] // self.batch
                shape[axis] = "N" if factor == 1 else f"{factor}N"
                value.shape = ir.Shape(shape)


def _agree(fixed: onnx.ModelProto, free: onnx.ModelProto, batch: int) -> bool:
    entry = fixed.graph.input[0]
    shape = [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
    rng = np.random.default_rng(0)
    for size in (1, _OTHER):
        images = rng.uniform(-1, 1, (size, *shape[1:])).astype(np.float32)
        got = evaluate(free, {entry.name: images})
        for number, image in enumerate(images):
            expected = evaluate(fixed, {entry.name: np.repeat(image[None], batch, 0)})
            if got is None or expected is None or got.shape[0] != size:
                return False
            if not np.allclose(got[number], expected[0], rtol=_TOLERANCE, atol=_TOLERANCE):
                return False
    return True


def free_batch(model: ir.Model) -> Outcome:
    """Free the batch axis in place, or leave the model as it is and say why."""
    (result,) = model.graph.outputs
    fixed, walk = ir.to_proto(model), _Walk(model)
    try:
        walk.walk()
        walk.name_shapes()
        if _agree(fixed, ir.to_proto(model), walk.batch):
            return Outcome(changed=1)
        skip = Skip(
            value=name_of(result), reason="batch 1 and 3 do not give what the fixed batch gives"
        )
    except _BoundError as bound:
        skip = bound.skip
    model.graph = ir.from_proto(fixed).graph
    return Outcome(changed=0, skipped=(skip,))
