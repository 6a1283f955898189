"""Rewrite the fake quantization that tf2onnx cannot convert, before it reads a TensorFlow graph.

    FakeQuant*(x), 8 bits, one range    ->  stays: it states a range, and quantization reads it
    FakeQuant*(x)                       ->  floor((clip(x, low, high) - low) / s - z + 0.5) * s
    QuantizeAndDequantizeV*(x)          ->  round(clip(x, low, high) / s) * s

where low, high, the step s and z come from the attributes or from constant inputs, adjusted as
TensorFlow's kernels adjust them, so that 0 is one of the levels. TensorFlow has folded fake
quantization of constants before.

Source of the formulas: ``fake_quant_ops_functor.h`` and ``quantize_and_dequantize_op.h`` of
TensorFlow. All numbers are float32, as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ConversionError

_FAKE = (
    "FakeQuantWithMinMaxArgs",
    "FakeQuantWithMinMaxVars",
    "FakeQuantWithMinMaxVarsPerChannel",
)
_AND_BACK = ("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4")
_STATED_BITS = 8
"""Quantization of so many bits states a range for int8, and is removed later."""

Array = npt.NDArray[np.float32]
_HALF = np.float32(0.5)


def has_fake_quantization(graph: Any) -> bool:
    """Whether a GraphDef contains an op that quantizes and dequantizes."""
    return any(node.op in (*_FAKE, *_AND_BACK) for node in graph.node)


def lower_fake_quantization(graph: Any) -> None:
    """Rewrite every such op of a folded GraphDef, which is changed.

    Raises:
        ConversionError: a range depends on the image.
    """
    nodes = {node.name: node for node in graph.node}
    for node in list(graph.node):
        if node.op in _FAKE:
            _lower_fake(graph, node, _Constants(nodes))
        elif node.op in _AND_BACK:
            _lower_and_back(graph, node, _Constants(nodes))


class _Constants:
    """Reads constant inputs of nodes."""

    def __init__(self, nodes: dict[str, Any]) -> None:
        self._nodes = nodes

    def read(self, node: Any, index: int) -> npt.NDArray:
        """Return an input of a node.

        Raises:
            ConversionError: it is not constant.
        """
        from tensorflow import make_ndarray

        source = self._nodes.get(node.input[index].split(":")[0])
        while source is not None and source.op == "Identity":
            source = self._nodes.get(source.input[0].split(":")[0])
        if source is None or source.op != "Const":
            raise ConversionError(_not_constant(node))
        array: npt.NDArray = make_ndarray(source.attr["value"].tensor)
        return array


def _not_constant(node: Any) -> str:
    return (
        f"the range of {node.op} at {node.name} depends on the image, expected a constant; give "
        "the op a fixed range, or use the float model"
    )


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """The levels from ``low`` to ``high`` in steps of ``scale``: scalars, or one per channel."""

    low: Array
    high: Array
    scale: Array

    @classmethod
    def nudged(cls, low: Array, high: Array, bits: int, *, is_narrow: bool) -> _Grid:
        """Return the levels of FakeQuant: ``Nudge`` of TensorFlow's kernel."""
        first, last = np.float32(is_narrow), np.float32(2**bits - 1)
        has_extent = high > low
        scale = np.where(has_extent, (high - low) / (last - first), np.float32(1))
        # np.floor(x + 0.5) rounds halves up, as the kernel does for numbers above 0.
        zero = np.clip(np.floor(first - low / scale + _HALF), first, last)
        # A range without extent has one level, which is 0.
        lowest, highest = (np.where(has_extent, (end - zero) * scale, 0) for end in (first, last))
        return cls(low=np.float32(lowest), high=np.float32(highest), scale=scale)


def _lower_fake(graph: Any, node: Any, constants: _Constants) -> None:
    bits, is_narrow = node.attr["num_bits"].i or 8, node.attr["narrow_range"].b
    if node.op == _FAKE[0]:
        low, high = (np.float32(_default(node, name, at)) for name, at in (("min", -6), ("max", 6)))
    else:
        low, high = (constants.read(node, index).astype(np.float32) for index in (1, 2))
    grid = _Grid.nudged(low, high, bits, is_narrow=is_narrow)
    if bits == _STATED_BITS and node.op != _FAKE[2]:
        # Ranges that contain 0 and use all levels stay as they are: tf2onnx converts them.
        if is_narrow or not low <= 0 <= high or low == high:
            _state_range(node, grid, is_narrow=bool(is_narrow))
        return
    chain = _Chain(graph, node)
    inverse = np.float32(1) / grid.scale
    chain.add("Minimum", grid.high)
    chain.add("Maximum", grid.low)
    chain.add("Sub", grid.low)
    chain.add("Mul", inverse)
    chain.add("Sub", np.floor(-grid.low * inverse + _HALF))
    chain.add("AddV2", _HALF)
    chain.add("Floor")
    chain.end("Mul", grid.scale)


def _default(node: Any, name: str, value: float) -> float:
    return float(node.attr[name].f) if name in node.attr else value


def _state_range(node: Any, grid: _Grid, *, is_narrow: bool) -> None:
    """Replace a node by one without narrow range that states the same range."""
    low, high = float(grid.low), float(grid.high)
    # -128 to 127 steps in place of -127 to 127; a range that begins at 0 is that of a ReLU.
    below = float(grid.scale) if is_narrow and low < 0 else 0.0
    if low == high:
        high = 1e-6  # a range without extent, which no scale can express
    x = node.input[0]
    node.op = _FAKE[0]
    node.attr.clear()
    del node.input[:]
    node.input.append(x)
    node.attr["min"].f, node.attr["max"].f = low - below, high
    node.attr["num_bits"].i, node.attr["narrow_range"].b = _STATED_BITS, False


def _lower_and_back(graph: Any, node: Any, constants: _Constants) -> None:
    is_third = node.op == _AND_BACK[1]  # it has the number of bits as its last input
    bits = int(constants.read(node, 3)) if is_third else int(_bits(node))
    is_signed = _flag(node, "signed_input", default=True)
    if not _flag(node, "range_given", default=is_third):
        raise ConversionError(_not_constant(node))
    axis = node.attr["axis"].i if "axis" in node.attr else -1
    low, high = (constants.read(node, index).astype(np.float32) for index in (1, 2))
    if bits == _STATED_BITS and axis == -1:
        return  # tf2onnx converts it to a Q/DQ pair
    first = -(2 ** (bits - 1)) + node.attr["narrow_range"].b if is_signed else 0
    last = 2 ** (bits - is_signed) - 1
    scale, inverse = _scales(low, high, np.float32(first), np.float32(last))
    chain = _Chain(graph, node)
    if axis != -1:
        shape = [-1 if i == axis else 1 for i in range(_rank(graph, node.input[0]))]
        scale, inverse = scale.reshape(shape), inverse.reshape(shape)
    chain.add("Minimum", np.float32(last) * inverse)
    chain.add("Maximum", np.float32(first) * inverse)
    chain.add("Mul", scale)
    if node.attr["round_mode"].s == b"HALF_UP":
        chain.add("AddV2", _HALF)
        chain.add("Floor")
    else:
        chain.add("Round")  # halves to even
    chain.end("Mul", inverse)


def _bits(node: Any) -> int:
    return node.attr["num_bits"].i if "num_bits" in node.attr else 8


def _rank(graph: Any, name: str) -> int:
    """Return how many axes a tensor has."""
    import tensorflow as tf

    with tf.Graph().as_default() as inferred:
        tf.graph_util.import_graph_def(graph, name="")
    return int(inferred.get_tensor_by_name(name if ":" in name else f"{name}:0").shape.rank)


def _flag(node: Any, name: str, *, default: bool) -> bool:
    return bool(node.attr[name].b) if name in node.attr else default


def _scales(low: Array, high: Array, first: np.float32, last: np.float32) -> tuple[Array, Array]:
    """Return levels per unit and its inverse, so that both ends of a range have a level."""
    infinity = np.float32(np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_low = np.where(first * low > 0, first / low, infinity)
        by_high = np.where(last * high > 0, last / high, infinity)
        scale = np.minimum(by_low, by_high)
        inverse = np.where(by_low < by_high, low / first, high / last)
    return scale, inverse


class _Chain:
    """Ops in a row that replace a node; the last one gets its name, so its readers stay."""

    def __init__(self, graph: Any, node: Any) -> None:
        self._graph, self._node, self._at = graph, node, node.input[0]
        self._number = 0

    def add(self, op: str, operand: npt.ArrayLike | None = None) -> None:
        """Add a node that reads the one before, and a constant."""
        node = self._graph.node.add(op=op, name=self._name(op))
        self._fill(node, operand)
        self._at = node.name

    def end(self, op: str, operand: npt.ArrayLike) -> None:
        """Turn the node itself into the last one."""
        self._node.op = op
        self._node.attr.clear()
        del self._node.input[:]
        self._fill(self._node, operand)

    def _name(self, what: str) -> str:
        self._number += 1
        return f"{self._node.name}/lowered_{what}_{self._number}"

    def _fill(self, node: Any, operand: npt.ArrayLike | None) -> None:
        from tensorflow import float32, make_tensor_proto

        node.input.append(self._at)
        node.attr["T"].type = float32.as_datatype_enum
        if operand is None:
            return
        constant = self._graph.node.add(op="Const", name=self._name("constant"))
        constant.attr["dtype"].type = float32.as_datatype_enum
        array = np.asarray(operand, np.float32)
        constant.attr["value"].tensor.CopyFrom(make_tensor_proto(array))
        node.input.append(constant.name)
