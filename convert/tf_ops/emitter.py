"""Write the ONNX ops that replace one TensorFlow node during tf2onnx's export.

tf2onnx's own interface creates nodes from names and attributes. :class:`Tensor` adds types, shapes
and operators to it, so that a rule reads like the formula that it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Operand = Any
"""A :class:`Tensor`, a NumPy array, a number (of the type of the tensor beside it), or a tuple of
integers (int64)."""


class RefusalError(Exception):
    """A node that has no equivalent ONNX form; the text states the reason and what to do."""


class UnknownError(RefusalError):
    """A shape or an operand that a rule needs as numbers is not known at the time of the export."""


class Tensor:
    """A value of the graph. Its operators create nodes."""

    def __init__(self, emit: Emitter, name: str) -> None:
        self.emit, self.name = emit, name

    @property
    def dtype(self) -> np.dtype:
        """The element type."""
        return self.emit.dtype_of(self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape.

        Raises:
            UnknownError: a dimension is not known.
        """
        shape = self.emit.graph.get_shape(self.name)
        if shape is None or any(d < 0 for d in shape):
            raise UnknownError(
                f"the shape of {self.name} is not known: {shape}; give its layer a fixed size"
            )
        return tuple(shape)

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def value(self) -> npt.NDArray | None:
        """The array of a constant, else None."""
        node = self.emit.graph.get_node_by_output(self.name)
        return (
            node.get_tensor_value(as_list=False) if node is not None and node.is_const() else None
        )

    def __add__(self, other: Operand) -> Tensor:
        return self.emit.op("Add", self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return self.emit.op("Add", other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return self.emit.op("Sub", self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return self.emit.op("Sub", other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return self.emit.op("Mul", self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return self.emit.op("Mul", other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return self.emit.op("Div", self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return self.emit.op("Div", other, self)

    def __matmul__(self, other: Operand) -> Tensor:
        return self.emit.op("MatMul", self, other)

    def __neg__(self) -> Tensor:
        return self.emit.op("Neg", self)

    def __lt__(self, other: Operand) -> Tensor:
        return self.emit.op("Less", self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return self.emit.op("Greater", self, other)

    def equals(self, other: Operand) -> Tensor:
        """Return the elementwise comparison; ``==`` compares Python objects."""
        return self.emit.op("Equal", self, other)

    def cast(self, dtype: npt.DTypeLike) -> Tensor:
        """Return the value in another type; without a node if it has this type already."""
        if self.dtype == np.dtype(dtype):
            return self
        return self.emit.op("Cast", self, to=self.emit.onnx_type(np.dtype(dtype)))

    def reshape(self, *shape: int) -> Tensor:
        """Return the value with another shape."""
        return self if shape == self.shape else self.emit.op("Reshape", self, shape)

    def transpose(self, *perm: int) -> Tensor:
        """Return the value with its axes in another order."""
        return (
            self
            if perm == tuple(range(len(perm)))
            else self.emit.op("Transpose", self, perm=list(perm))
        )

    def unsqueeze(self, *axes: int) -> Tensor:
        """Return the value with new axes of size 1."""
        return self.emit.op("Unsqueeze", self, axes)

    def squeeze(self, *axes: int) -> Tensor:
        """Return the value without axes of size 1."""
        return self.emit.op("Squeeze", self, axes)

    def slice(self, axis: int, start: int, end: int, step: int = 1) -> Tensor:
        """Return a part along one axis; ``end`` may be beyond the size."""
        return self.emit.op("Slice", self, (start,), (end,), (axis,), (step,))

    def take(self, indices: Operand, axis: int) -> Tensor:
        """Gather along one axis."""
        return self.emit.op("Gather", self, indices, axis=axis)


Rule = Callable[["Emitter"], "Tensor | Sequence[Tensor] | None"]
"""Returns the results of a node. None: tf2onnx's own conversion is right for this node."""


class Emitter:
    """One TensorFlow node, and the nodes that replace it.

    Args:
        graph: the ``tf2onnx.graph.Graph``, whose constants and shapes are known.
        node: the ``tf2onnx.graph.Node``.
        convert: converts another node of the same type, with real numbers.
    """

    def __init__(self, graph: Any, node: Any, convert: Callable[[Any, Any], None]) -> None:
        self.graph, self.node, self._convert = graph, node, convert

    def __len__(self) -> int:
        return len(self.node.input)

    def __getitem__(self, index: int) -> Tensor:
        """Return an input."""
        return Tensor(self, self.node.input[index])

    def dtype_of(self, name: str) -> np.dtype:
        """Return the element type of a tensor."""
        from tf2onnx import utils

        return np.dtype(utils.map_onnx_to_numpy_type(self.graph.get_dtype(name)))

    def is_complex(self, name: str) -> bool:
        """Whether a tensor consists of complex numbers."""
        dtype = self.graph.get_dtype(name)
        return dtype is not None and dtype > 0 and self.dtype_of(name).kind == "c"

    def onnx_type(self, dtype: np.dtype) -> int:
        """Return ONNX' number of an element type."""
        from tf2onnx import utils

        return int(utils.map_numpy_to_onnx_dtype(dtype))

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute of the node; text as ``str``."""
        value = self.node.get_attr_value(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def result_dtype(self, index: int = 0) -> np.dtype:
        """Return the element type of a result."""
        return self.dtype_of(self.node.output[index])

    def result_shape(self, index: int = 0) -> tuple[int, ...] | None:
        """Return the shape of a result; None if a dimension is not known."""
        shape = self.graph.get_shape(self.node.output[index])
        return None if shape is None or any(d < 0 for d in shape) else tuple(shape)

    def constant_input(self, index: int, what: str) -> npt.NDArray:
        """Return the array of an input.

        Raises:
            UnknownError: it depends on the image; ``what`` names the input.
        """
        value = self[index].value
        if value is None:
            raise UnknownError(f"its {what} is computed; make it a constant")
        return np.asarray(value)

    def op(self, op_type: str, *inputs: Operand, **attributes: Any) -> Tensor:
        """Create a node with one result."""
        return self.ops(op_type, *inputs, count=1, **attributes)[0]

    def ops(
        self, op_type: str, *inputs: Operand, count: int, **attributes: Any
    ) -> tuple[Tensor, ...]:
        """Create a node with ``count`` results. Numbers get the type of the first tensor."""
        from tf2onnx import utils

        first = next((each for each in inputs if isinstance(each, Tensor)), None)
        names = [self._name(each, first) for each in inputs]
        node = self.graph.make_node(
            op_type,
            names,
            attr=attributes,
            output_count=count,
            # "layer/op" shows in the finished graph which layer a node comes from.
            name=utils.make_name(f"{self.node.name}/{op_type}"),
        )
        return tuple(Tensor(self, name) for name in node.output)

    def same_op(
        self,
        inputs: Sequence[Tensor],
        dtype: npt.DTypeLike,
        shape: Sequence[int] | None = None,
        **changed: Any,
    ) -> Tensor:
        """Apply the op of this node to other tensors.

        Args:
            inputs: its inputs.
            dtype: the type of the result.
            shape: the shape of the result, if it is not that of this node's result.
            changed: attributes that differ from those of this node.
        """
        from tf2onnx import utils

        name = utils.make_name(f"{self.node.name}/part")
        shape = self.graph.get_shape(self.node.output[0]) if shape is None else list(shape)
        typing = {"shapes": [shape], "dtypes": [self.onnx_type(np.dtype(dtype))]}
        names = [each.name for each in inputs]
        attributes = {**self.node.attr, **changed}
        node = self.graph.make_node(self.node.type, names, attr=attributes, name=name, **typing)
        # Handlers replace a node's result in all readers; this reader keeps track of it.
        end = self.graph.make_node("Identity", [node.output[0]], name=f"{name}/end", **typing)
        self._convert(self.graph, node)
        return Tensor(self, end.output[0])

    def constant(self, array: npt.ArrayLike) -> Tensor:
        """Add a constant."""
        from tf2onnx import utils

        name = utils.make_name(f"{self.node.name}/constant")
        return Tensor(self, self.graph.make_const(name, np.array(array)).output[0])

    def _name(self, operand: Operand, first: Tensor | None) -> str:
        if isinstance(operand, Tensor):
            return operand.name
        if operand is None:  # an optional input that is left out
            return ""
        if isinstance(operand, tuple):
            return self.constant(np.array(operand, np.int64)).name
        if isinstance(operand, (bool, int, float)) and first is not None:
            return self.constant(np.array(operand, first.dtype)).name
        return self.constant(operand).name

    def where(self, condition: Operand, chosen: Operand, other: Operand) -> Tensor:
        """Choose elementwise; a number gets the type of the other choice."""
        tensor = chosen if isinstance(chosen, Tensor) else other
        chosen, other = (
            each if isinstance(each, Tensor) else self.constant(np.array(each, tensor.dtype))
            for each in (chosen, other)
        )
        return self.op("Where", condition, chosen, other)

    def finish(self, results: Sequence[Tensor]) -> None:
        """Replace the node: its results become those of Identity nodes, which tf2onnx removes."""
        outputs = list(self.node.output)
        shapes = [self.graph.get_shape(name) for name in outputs]
        dtypes = [self.graph.get_dtype(name) for name in outputs]
        self.graph.remove_node(self.node.name)
        for number, (name, result) in enumerate(zip(outputs, results, strict=True)):
            if dtypes[number] is None:
                dtypes[number] = self.graph.get_dtype(result.name)
            self.graph.make_node(
                "Identity",
                [result.name],
                outputs=[name],
                name=self.node.name if number == 0 else f"{self.node.name}/result{number}",
                shapes=[shapes[number] or self.graph.get_shape(result.name)],
                dtypes=[dtypes[number]],
            )
