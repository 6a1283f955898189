"""Free the batch axis of a graph by comparing it with the same model traced at another batch size.

    f(x, constant (2, ..)) and f(x, constant (3, ..))  ->  f(x, Expand(slice, N))   equal slices
    f(x, [0, 5]) and f(x, [0, 5, 10])                  ->  f(x, Range(0, N) * 5)    equal steps
    f(x, [2, -1, 8]) and f(x, [3, -1, 8])              ->  f(x, [N, -1, 8])         sizes

``free_batch`` follows the batch axis through one graph, which is quicker, but has to know every op
that a constant of the batch can enter. Two graphs show each such constant, whatever op reads it,
and in loops, too. Both are traced by the same code, so their nodes correspond in order. If they do
not, the model stays unchanged. The result is checked as that of ``free_batch``, by running it.

Termination: the nodes are visited once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..analysis.batches import agree_on_batches
from ..graph import constant, name_of, not_none, shape_of, static_shape
from ..node_builder import NodeBuilder
from ..outcome import Outcome, Skip

_GROWN = ("Add", "Cast", "Expand", "Mul", "Range", "Reshape")
"""Ops of values that grow with the batch."""


class _DifferentError(Exception):
    """The two graphs differ in a way that does not follow from the batch size."""

    def __init__(self, value: ir.Value, reason: str) -> None:
        super().__init__(reason)
        self.skip = Skip(value=name_of(value), reason=reason)


class _Merge:
    """Rewrites the constants of a graph that depend on the batch size."""

    def __init__(self, model: ir.Model, other: ir.Model) -> None:
        self.model, self.other = model, other
        (self.image,), (other_image,) = model.graph.inputs, other.graph.inputs
        self.batch, self.other_batch = shape_of(self.image)[0], shape_of(other_image)[0]
        self.build = NodeBuilder(model.graph)
        # (1,): the number of images
        self.count = self.build.op(
            "Shape", self.image, shape=(1,), dtype=ir.DataType.INT64, start=0, end=1
        )
        self.made = dict[tuple[ir.Value, ir.Value], ir.Value]()

    def merge(self) -> None:
        """Visit all nodes in order, then name the batch axes."""
        pairs = list(_paired(self.model.graph, self.other.graph))
        for node, twin in pairs:
            for index, (value, found) in enumerate(zip(node.inputs, twin.inputs, strict=True)):
                if value is not None and found is not None:
                    replaced = self._merged(node, value, found)
                    if replaced is not value:
                        node.replace_input_with(index, replaced)
        for node in self.build.nodes:
            if node.op_type in _GROWN:  # their shapes are those at the traced batch size
                node.outputs[0].shape = None
        self.build.insert_behind(self.image)
        self._name_shapes(self.image, self.other.graph.inputs[0])
        for node, twin in pairs:
            for value, found in zip(node.outputs, twin.outputs, strict=True):
                self._name_shapes(value, found)

    def _merged(self, node: ir.Node, value: ir.Value, found: ir.Value) -> ir.Value:
        """Return the value that a node reads at any batch size."""
        one, two = constant(value), constant(found)
        if one is None or two is None:
            if (one is None) != (two is None):
                raise _DifferentError(value, "it is a constant at one batch size only")
            return value
        if one.shape == two.shape and np.array_equal(one, two):
            return value
        key = value, found
        if key not in self.made:
            self.made[key] = self._made(node, value, one, two)
        return self.made[key]

    def _made(self, node: ir.Node, value: ir.Value, one: npt.NDArray, two: npt.NDArray) -> ir.Value:
        reason = f"it depends on the batch size, and no rule frees it in this {node.op_type}"
        if one.shape == two.shape:
            is_target = node.op_type == "Reshape" and value is node.inputs[1]
            if is_target and one.min() > 0 and (one != two).sum() == 1:
                # Reshape infers one size by itself, without shape arithmetic in the graph.
                return not_none(self.build.constant(np.where(one == two, one, -1)))
            if one.dtype == np.int64 and one.ndim <= 1:
                return self._sizes(value, np.atleast_1d(one), np.atleast_1d(two), one.ndim)
            raise _DifferentError(value, reason)
        axes = [
            a
            for a, sizes in enumerate(zip(one.shape, two.shape, strict=False))
            if sizes[0] != sizes[1]
        ]
        if one.ndim != two.ndim or len(axes) != 1:
            raise _DifferentError(value, reason)
        axis = axes[0]
        inner, left = divmod(one.shape[axis], self.batch)
        if left or two.shape[axis] != inner * self.other_batch:
            raise _DifferentError(value, reason)
        # (.., N k, ..) -> (.., N, k, ..)
        split = [a.reshape(*a.shape[:axis], -1, inner, *a.shape[axis + 1 :]) for a in (one, two)]
        first, step = np.take(split[0], [0], axis), np.zeros((), one.dtype)
        if one.dtype in (np.int64, np.int32) and self.batch > 1:
            step = np.take(split[0], [1], axis) - first
        for array in split:
            places = np.arange(array.shape[axis])  # int64: NumPy counts no booleans
            places = places.reshape(-1, *(1,) * (array.ndim - axis - 1))
            if not np.array_equal(array, first + places * step):
                raise _DifferentError(value, "this constant differs between the images")
        return self._grown(first, step, axis, one.shape)

    def _grown(
        self, first: npt.NDArray, step: npt.NDArray, axis: int, shape: tuple[int, ...]
    ) -> ir.Value:
        """Add first + i * step for each image i: (.., 1, k, ..) -> (.., N k, ..)."""
        build, whole = self.build, (*shape[:axis], self.batch, *first.shape[axis + 1 :])
        ones = (1,) * axis, (1,) * (first.ndim - axis - 1)
        target = self._joined([ones[0], self.count, ones[1]])
        grown = build.op(
            "Expand", build.constant(first), target, shape=whole,
            dtype=ir.DataType.from_numpy(first.dtype),
        )  # fmt: skip
        if step.any():
            zero, one = np.zeros((), np.int64), np.ones((), np.int64)
            scalar = build.op("Squeeze", self.count, shape=())
            places = build.op(
                "Range", zero, scalar, one, shape=(self.batch,), dtype=ir.DataType.INT64
            )
            if first.dtype != np.int64:
                places = build.op("Cast", places, dtype=grown.dtype, to=grown.dtype)
            behind = (self.batch, *ones[1])
            places = build.op("Reshape", places, (-1, *ones[1]), shape=behind)
            moved = build.op("Mul", places, build.constant(step), shape=whole)
            grown = build.op("Add", grown, moved, shape=whole)
        if first.shape[axis + 1] != 1 or first.ndim != len(shape):
            merged = (*shape[:axis], -1, *shape[axis + 1 :])
            grown = build.op("Reshape", grown, merged, shape=shape)
        return grown

    def _sizes(self, value: ir.Value, one: npt.NDArray, two: npt.NDArray, rank: int) -> ir.Value:
        """Return a list of sizes of which some are multiples of the batch size."""
        parts = list[ir.Value | tuple[int, ...]]()
        for size, other in zip(one.tolist(), two.tolist(), strict=True):
            factor = size // self.batch
            if size == other:
                parts.append((size,))
            elif (size, other) == (factor * self.batch, factor * self.other_batch):
                many = (factor,)
                parts.append(
                    self.count
                    if factor == 1
                    else self.build.op("Mul", self.count, many, shape=(1,))
                )
            else:
                raise _DifferentError(
                    value,
                    f"the size {size} becomes {other}, which is not a multiple of the batch size",
                )
        joined = self._joined(parts)
        return joined if rank else self.build.op("Squeeze", joined, shape=())

    def _joined(self, parts: list[ir.Value | tuple[int, ...]]) -> ir.Value:
        """Concatenate sizes, (n,) int64."""
        filled = [part for part in parts if part != ()]
        if len(filled) == 1 and isinstance(filled[0], ir.Value):
            return filled[0]
        total = sum(1 if isinstance(part, ir.Value) else len(part) for part in filled)
        return self.build.op("Concat", *filled, shape=(total,), dtype=ir.DataType.INT64, axis=0)

    def _name_shapes(self, value: ir.Value, found: ir.Value) -> None:
        """Name the axes whose sizes differ: "N", or "kN" if k entries belong to each image."""
        sizes, others = static_shape(value), static_shape(found)
        if sizes is None or others is None:
            return
        if len(sizes) != len(others):
            raise _DifferentError(value, "its rank depends on the batch size")
        shape: list[int | str | None] = []
        for size, other in zip(sizes, others, strict=True):
            factor = size // self.batch
            if size == other:
                shape.append(size)
            elif (size, other) == (factor * self.batch, factor * self.other_batch):
                shape.append("N" if factor == 1 else f"{factor}N")
            else:
                shape.append(None)
        value.shape = ir.Shape(shape)


def _paired(graph: ir.Graph, other: ir.Graph) -> Iterator[tuple[ir.Node, ir.Node]]:
    """Yield the nodes of two graphs that correspond, and those of their inner graphs."""
    nodes, twins = list(graph), list(other)
    for node, twin in zip(nodes, twins, strict=False):
        named, others = _plain(node), _plain(twin)
        alike = (node.op_type, node.domain, len(node.inputs), len(node.outputs), named) == (
            twin.op_type, twin.domain, len(twin.inputs), len(twin.outputs), others
        )  # fmt: skip
        if not alike:
            raise _DifferentError(
                node.outputs[0],
                f"the graphs of two batch sizes differ: {node.op_type} and {twin.op_type}",
            )
        for name, item in node.attributes.items():
            if isinstance(item, ir.Attr) and item.type == ir.AttributeType.GRAPH:
                yield from _paired(item.as_graph(), twin.attributes[name].as_graph())
        yield node, twin
    if len(nodes) != len(twins):
        reason = f"the graph has {len(nodes)} nodes at one batch size and {len(twins)} at another"
        raise _DifferentError(graph.outputs[0], reason)


def _plain(node: ir.Node) -> dict[str, str]:
    """Return the attributes of a node as text, without inner graphs."""
    return {
        name: str(item.value) if item.type != ir.AttributeType.GRAPH else ""
        for name, item in node.attributes.items()
    }


def merge_traces(model: ir.Model, other: ir.Model) -> Outcome:
    """Free the batch axis of ``model`` in place; ``other`` is traced at another batch size."""
    fixed, (result,) = ir.to_proto(model), model.graph.outputs
    batch = shape_of(model.graph.inputs[0])[0]
    skip = Skip(value=name_of(result), reason="it differs from the graph at the fixed batch size")
    try:
        merge = _Merge(model, other)
        merge.merge()
        if agree_on_batches(fixed, ir.to_proto(model), batch):
            return Outcome(changed=1)
    except _DifferentError as different:
        skip = different.skip
    model.graph = ir.from_proto(fixed).graph
    return Outcome(changed=0, skipped=(skip,))
