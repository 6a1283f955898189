"""New nodes in a row, each reading the one before it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import new_initializer, shape_of, typed_like


class Row:
    """Begins at ``value``; ``made`` are the nodes, ``value`` is what the last of them gives."""

    def __init__(self, graph: ir.Graph, value: ir.Value) -> None:
        self.graph, self.value, self.made = graph, value, list[ir.Node]()

    def add(
        self,
        op: str,
        *inputs: ir.Value | None,
        to: tuple[int, ...],
        **attributes: float | str | tuple[int, ...],
    ) -> None:
        """Add an op whose first input is the row's value; its result has the shape ``to``."""
        node = ir.node(op, [self.value, *inputs], attributes=attributes)
        self.value = typed_like(node.outputs[0], self.value, to)
        self.made.append(node)

    def constant(self, array: npt.NDArray) -> ir.Value:
        """Make a constant for an op."""
        return new_initializer(self.graph, array, "constant")

    def reshape(self, to: tuple[int, ...]) -> None:
        """Add a Reshape, unless the shape is this already."""
        if to != shape_of(self.value):
            self.add("Reshape", self.constant(np.array(to, np.int64)), to=to)

    def transpose(self, perm: tuple[int, ...]) -> None:
        """Add a Transpose, unless it does nothing."""
        if perm != tuple(range(len(perm))):
            shape = shape_of(self.value)
            self.add("Transpose", to=tuple(shape[axis] for axis in perm), perm=perm)
