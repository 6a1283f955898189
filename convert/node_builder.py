"""Create nodes whose results have an element type and a shape, and insert them into a graph.

``onnx_ir.tape.Tape`` records nodes too, but leaves their results without type and shape. Passes
need both: shapes are inferred once, before the first pass (see ``pipeline``), and not again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from .graph import Shape, new_initializer, replace_keeping_name, shape_of, typed_like

Operand = ir.Value | npt.NDArray | np.generic | float | tuple[int, ...] | None
"""An input: a value, nothing, or a constant. A float is a float32 scalar, a tuple an int64 (n,)."""


class NodeBuilder:
    """Collects new nodes in order. They are in no graph until one of the last five methods runs.

    Constants become initializers of the graph at once. Before shape inference, ``shapes=False``
    leaves the shapes of results unknown.
    """

    def __init__(self, graph: ir.Graph, *, shapes: bool = True) -> None:
        self.graph, self.nodes, self.shapes = graph, list[ir.Node](), shapes

    def op(
        self, op_type: str, *inputs: Operand, shape: Shape | None = None, **settings: Any
    ) -> ir.Value:
        """Create a node with one result of ``shape``; see :meth:`ops`."""
        return self.ops(op_type, *inputs, shapes=[shape], **settings)[0]

    def ops(
        self,
        op_type: str,
        *inputs: Operand,
        shapes: Sequence[Shape | None],
        dtype: ir.DataType | None = None,
        domain: str = "",
        name: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> tuple[ir.Value, ...]:
        """Create a node with one result for each of ``shapes``; return the results.

        The first operand that is a value gives a result its dtype and shape where ``dtype`` or the
        shape is None. Attributes are given by name, or as a mapping (those of another node).
        """
        # Arrays and numbers do not count: they may have another type and shape.
        first = next(each for each in inputs if isinstance(each, ir.Value))
        values = [self.constant(each) for each in inputs]
        named, count = {**(attributes or {}), **more}, len(shapes)
        node = ir.node(op_type, values, named, num_outputs=count, domain=domain, name=name)
        self.nodes.append(node)
        for value, shape in zip(node.outputs, shapes, strict=True):
            typed_like(value, first, shape)
            if not self.shapes:
                value.shape = None
            if dtype is not None:
                value.type = ir.TensorType(dtype)
        return tuple(node.outputs)

    def constant(self, operand: Operand) -> ir.Value | None:
        """Return an operand as a value; arrays and numbers become initializers."""
        if operand is None or isinstance(operand, ir.Value):
            return operand
        if isinstance(operand, tuple):
            operand = np.array(operand, np.int64)
        elif isinstance(operand, float):
            operand = np.float32(operand)
        return new_initializer(self.graph, np.asarray(operand), "constant")

    def reshape(self, x: ir.Value, shape: Shape) -> ir.Value:
        """Return ``x`` reshaped; without a node if ``x`` has this shape already."""
        return x if shape == shape_of(x) else self.op("Reshape", x, shape, shape=shape)

    def transpose(self, x: ir.Value, perm: Sequence[int]) -> ir.Value:
        """Return ``x`` transposed; without a node if the permutation is the identity."""
        if tuple(perm) == tuple(range(len(perm))):
            return x
        shape = shape_of(x)
        moved = tuple(shape[axis] for axis in perm)
        return self.op("Transpose", x, shape=moved, perm=tuple(perm))

    def insert_after(self, node: ir.Node) -> None:
        """Insert the nodes directly behind ``node``."""
        self.graph.insert_after(node, self._taken())

    def insert_behind(self, value: ir.Value) -> None:
        """Insert the nodes behind the node that computes ``value``.

        An input of the graph or an initializer has no such node: the start of the graph.
        """
        if (node := value.producer()) is None:
            self.insert_before(self.graph[0])
        else:
            self.insert_after(node)

    def insert_before(self, node: ir.Node) -> None:
        """Insert the nodes directly in front of ``node``."""
        self.graph.insert_before(node, self._taken())

    def replace(self, nodes: Sequence[ir.Node], result: ir.Value) -> None:
        """Replace ``nodes``, which are in graph order, by the new nodes.

        ``result`` gets the name, the shape and the readers of the last node's first output.
        """
        *_, last = nodes
        result.shape = last.outputs[0].shape
        self.replace_value(last.outputs[0], result)
        self.graph.remove(nodes, safe=True)

    def replace_value(self, old: ir.Value, new: ir.Value) -> None:
        """Insert the nodes behind ``old``; ``new`` gets the name and the readers of ``old``."""
        self.insert_behind(old)
        replace_keeping_name(old, new)

    def _taken(self) -> list[ir.Node]:
        """Return the nodes and start a new list."""
        taken, self.nodes = self.nodes, []
        return taken
