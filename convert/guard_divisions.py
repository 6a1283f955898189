"""Keep integer divisions from ending the process, in graphs of any origin.

    Div(a, b)  ->  Div(Where(b == -1, -a, a), Where(b == -1 or b == 0, 1, b))
    Mod(a, b)  ->  Mod(a, Where(b == -1 or b == 0, 1, b))

The processor has no result for a division by 0 and for the smallest integer divided by -1. Kernels
of onnxruntime and OpenVINO that do not check for it end the process with SIGFPE, even when they
only fold constants. The results for b = -1 stay the same; the smallest integer divided by -1 is
itself, as in TensorFlow and NumPy. A division by 0 has no result in ONNX; here it is one by 1.

Divisions by constants without these values stay as they are; those by a constant 0 are refused.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from ..common.onnx_shapes import infer_shapes
from ..errors import ConversionError
from .graph import constant, name_of, not_none

_DIVISIONS = frozenset({"Div", "Mod"})


def guard_divisions(model: ir.Model) -> int:
    """Guard the divisions of a graph and of its inner graphs; return how many were changed.

    The types of its values need not be declared.

    Raises:
        ConversionError: a divisor is a constant that contains 0.
    """
    if not _has_divisions(model):
        return 0
    if any(node.op_type in _DIVISIONS for f in model.functions.values() for node in f.all_nodes()):
        common.InlinePass()(model)  # only a call determines the types in a function
    divisions = [node for node in model.graph.all_nodes() if node.op_type in _DIVISIONS]
    if any(_type_of(node) is None for node in divisions):
        # Not strict: a raw export may contain ops that ONNX does not know.
        infer_shapes(model, check_type=False, strict_mode=False, data_prop=False)
    return sum(map(_guarded, divisions))


def _has_divisions(model: ir.Model) -> bool:
    graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    return any(node.op_type in _DIVISIONS for graph in graphs for node in graph.all_nodes())


def _type_of(node: ir.Node) -> ir.DataType | None:
    """Return the element type of a division, which all of its values have."""
    known = (value.dtype for value in (*node.inputs, *node.outputs) if value is not None)
    return next((dtype for dtype in known if dtype not in (None, ir.DataType.UNDEFINED)), None)


def _guarded(node: ir.Node) -> bool:
    """Guard one division if it is one of integers; return whether it was changed."""
    kind = _type_of(node)
    if kind is None or kind == ir.DataType.STRING or len(node.inputs) != 2:
        return False
    dtype = kind.numpy()
    if dtype.kind not in "iu":
        return False
    dividend, divisor = (not_none(value) for value in node.inputs)
    numbers = constant(divisor)
    if numbers is not None and (numbers == 0).any():
        raise ConversionError(
            f"the integer division at {node.name or name_of(node.outputs[0])} ({node.op_type}) has "
            "the constant divisor 0, expected other numbers; correct the model, or end it before "
            "this layer (output.name in the spec)"
        )
    if numbers is not None and (dtype.kind == "u" or not (numbers == -1).any()):
        return False
    build = _Builder(node, dtype)
    unsafe = build.flag("Equal", divisor, build.number(0))
    if dtype.kind == "i":
        is_minus_one = build.flag("Equal", divisor, build.number(-1))
        unsafe = build.flag("Or", unsafe, is_minus_one)
        if node.op_type == "Div":
            negative = build.op("Neg", dividend)
            node.replace_input_with(0, build.op("Where", is_minus_one, negative, dividend))
    node.replace_input_with(1, build.op("Where", unsafe, build.number(1), divisor))
    return True


class _Builder:
    """Inserts nodes in front of a division. ``NodeBuilder`` needs shapes and the main graph."""

    def __init__(self, node: ir.Node, dtype: np.dtype) -> None:
        self._node, self._dtype, self._count = node, dtype, 0

    def number(self, value: int) -> ir.Value:
        """Return a scalar. As a node, its name need not differ from initializers of all graphs."""
        return self.op("Constant", value=ir.tensor(np.array(value, self._dtype)))

    def flag(self, op_type: str, *inputs: ir.Value) -> ir.Value:
        """Return the result of an op that returns booleans."""
        result = self.op(op_type, *inputs)
        result.type = ir.TensorType(ir.DataType.BOOL)
        return result

    def op(self, op_type: str, *inputs: ir.Value, **attributes: ir.TensorProtocol) -> ir.Value:
        """Return the result of an op that returns the type of the division."""
        new, graph = ir.node(op_type, inputs, attributes), self._node.graph
        assert isinstance(graph, ir.Graph)
        (result,) = new.outputs
        result.name = f"{name_of(self._node.outputs[0])}/guard_{self._count}"
        result.type = ir.TensorType(ir.DataType.from_numpy(self._dtype))
        self._count += 1
        graph.insert_before(self._node, new)
        return result
