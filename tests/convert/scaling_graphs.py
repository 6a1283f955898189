"""Graphs of any number of nodes, to measure how the time of a conversion grows with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper

SHAPE = (1, 3, 8, 8)


class _Chain:
    """A graph that grows node by node; ``last`` is the value that the next node reads."""

    def __init__(self) -> None:
        self.nodes, self.weights, self.last = list[onnx.NodeProto](), list[onnx.TensorProto](), "x"

    def add(self, op: str, *more: str, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.last, *more], [name], **attributes))
        self.last = name
        return name

    def weight(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(array, name))
        return name

    def noise(self, *shape: int, scale: float = 1.0) -> str:
        rng = np.random.default_rng(len(self.weights))
        return self.weight((scale * rng.standard_normal(shape)).astype(np.float32))


def _convolutions(chain: _Chain, nodes: int) -> None:
    for _ in range(nodes // 2):
        chain.add("Conv", chain.noise(3, 3, 1, 1))
        chain.add("Relu")


def _additions(chain: _Chain, nodes: int) -> None:
    # Constants of one shape: fold_affine merges neighbors, so a Relu stands between them.
    for _ in range(nodes // 2):
        chain.add("Add", chain.noise(1, 3, 1, 1))
        chain.add("Relu")


def _plain_additions(chain: _Chain, nodes: int) -> None:
    for _ in range(nodes):
        chain.add("Add", chain.noise(1, 3, 1, 1))


def _residuals(chain: _Chain, nodes: int) -> None:
    for _ in range(nodes // 2):
        before = chain.last
        chain.add("Sigmoid")
        chain.add("Add", before)


def _products(chain: _Chain, nodes: int) -> None:
    for _ in range(nodes // 2):
        chain.add("MatMul", chain.noise(8, 8, scale=0.3))
        chain.add("Tanh")


def _transposes(chain: _Chain, nodes: int) -> None:
    for _ in range(nodes // 2):
        chain.add("Transpose", perm=[0, 2, 3, 1])
        chain.add("Transpose", perm=[0, 3, 1, 2])


def _transposed_ops(chain: _Chain, nodes: int) -> None:
    for _ in range(nodes // 4):
        chain.add("Transpose", perm=[0, 2, 3, 1])
        chain.add("Relu")
        chain.add("Transpose", perm=[0, 3, 1, 2])
        chain.add("Conv", chain.noise(3, 3, 1, 1))


def _reshapes(chain: _Chain, nodes: int) -> None:
    flat, image = (chain.weight(np.array(s, np.int64)) for s in ([1, 192], list(SHAPE)))
    for _ in range(nodes // 2):
        chain.add("Reshape", flat)
        chain.add("Reshape", image)


def _scalars(chain: _Chain, nodes: int) -> None:
    for number in range(nodes // 2):
        name = f"c{number}"
        value = onnx.numpy_helper.from_array(np.float32(1 + 1 / (number + 1)))
        chain.nodes.append(helper.make_node("Constant", [], [name], value=value))
        chain.add("Mul" if number % 2 else "Add", name)


def _concat(chain: _Chain, nodes: int) -> None:
    parts, start = [], chain.last
    for _ in range(nodes - 2):
        chain.last = start
        parts.append(chain.add("Relu" if len(parts) % 2 else "Sigmoid"))
        if len(parts) % 2:
            start = parts[-1]
    chain.last = parts[0]
    chain.add("Concat", *parts[1:], axis=1)
    chain.add("Conv", chain.noise(3, 3 * len(parts), 1, 1))


def _split(chain: _Chain, nodes: int) -> None:
    width = nodes // 3
    chain.add("Conv", chain.noise(width, 3, 1, 1))
    names = [f"part{number}" for number in range(width)]
    chain.nodes.append(helper.make_node("Split", [chain.last], names, axis=1, num_outputs=width))
    parts = []
    for name in names:
        chain.last = name
        chain.add("Relu")
        parts.append(chain.add("Add", chain.noise(1)))
    chain.last = parts[0]
    chain.add("Concat", *parts[1:], axis=1)
    chain.add("Conv", chain.noise(3, width, 1, 1))


def _branches(chain: _Chain, nodes: int) -> None:
    """If nodes next to each other, whose conditions depend on the image."""
    zero = chain.weight(np.array(0, np.float32))
    for number in range(nodes // 6):
        before = chain.last
        chain.add("ReduceMax", keepdims=0)
        chain.add("Greater", zero)
        bodies = [
            helper.make_graph(
                [helper.make_node(op, [before], [f"{op}{number}"])],
                f"{op}_branch{number}",
                [],
                [helper.make_tensor_value_info(f"{op}{number}", onnx.TensorProto.FLOAT, SHAPE)],
            )
            for op in ("Relu", "Sigmoid")
        ]
        chain.add("If", then_branch=bodies[0], else_branch=bodies[1])
        chain.add("Tanh")


def _norms(chain: _Chain, nodes: int) -> None:
    """Layer normalization, spelled out, over the channels of an image in NHWC."""
    axes = chain.weight(np.array([-1], np.int64))
    two, small = (chain.weight(np.array(value, np.float32)) for value in (2, 1e-3))
    for _ in range(nodes // 9):
        before = chain.last
        mean = chain.add("ReduceMean", axes)
        chain.last = before
        centered = chain.add("Sub", mean)
        chain.add("Pow", two)
        chain.add("ReduceMean", axes)
        deviation = (chain.add("Add", small), chain.add("Sqrt"))[1]
        chain.last = centered
        chain.add("Div", deviation)
        chain.add("Mul", chain.noise(8))
        chain.add("Add", chain.noise(8))


def _shapes(chain: _Chain, nodes: int) -> None:
    """Reshapes whose sizes are computed from the shape of a value, as exporters write them."""
    one = chain.weight(np.array([-1], np.int64))
    zero = chain.weight(np.array(0, np.int64))
    axes = chain.weight(np.array([0], np.int64))
    for _ in range(nodes // 7):
        before = chain.last
        whole = chain.add("Shape")
        chain.add("Gather", zero)
        chain.add("Unsqueeze", axes)
        size = chain.add("Concat", one, axis=0)
        chain.last = before
        chain.add("Reshape", size)
        chain.add("Relu")
        chain.add("Reshape", whole)


def _fan_out(chain: _Chain, nodes: int) -> None:
    """One value that half of the nodes read; a tree of sums joins them."""
    start, level = chain.last, []
    for number in range(nodes // 2):
        chain.last = start
        level.append(chain.add("Mul", chain.weight(np.float32([number + 2]))))
    while len(level) > 1:
        joined = []
        for first, second in zip(level[::2], level[1::2], strict=False):
            chain.last = first
            joined.append(chain.add("Add", second))
        level = joined + level[len(level) - len(level) % 2 :]


def _paths(chain: _Chain, nodes: int) -> None:
    """A hundred chains next to each other."""
    start, ends = chain.last, []
    for _ in range(100):
        chain.last = start
        for _ in range(nodes // 400):
            chain.add("Conv", chain.noise(3, 3, 1, 1))
            chain.add("Relu")
            chain.add("Transpose", perm=[0, 2, 3, 1])
            chain.add("Transpose", perm=[0, 3, 1, 2])
        ends.append(chain.last)
    chain.last = ends[0]
    chain.add("Concat", *ends[1:], axis=1)
    chain.add("Conv", chain.noise(3, 300, 1, 1))


def _constants(chain: _Chain, nodes: int) -> None:
    """Constants that are computed from each other, as exporters write sizes and positions."""
    image, values = chain.last, []
    for number in range(nodes // 8):
        chain.last = chain.weight(np.float32([number % 7]))
        for op in ("Neg", "Abs", "Sqrt", "Floor", "Relu"):
            chain.add(op)
        values.append(chain.last)
    chain.last = image
    for value in values:
        chain.add("Add", value)
        chain.add("Relu")


def _slices(chain: _Chain, nodes: int) -> None:
    """Halves of the channels that are split, changed and joined again."""
    chain.add("Conv", chain.noise(4, 3, 1, 1))
    zero, two, four, axis = (chain.weight(np.array([n], np.int64)) for n in (0, 2, 4, 1))
    for _ in range(nodes // 5):
        before = chain.last
        first = (chain.add("Slice", zero, two, axis), chain.add("Relu"))[1]
        chain.last = before
        second = (chain.add("Slice", two, four, axis), chain.add("Sigmoid"))[1]
        chain.last = first
        chain.add("Concat", second, axis=1)
    chain.add("Conv", chain.noise(3, 4, 1, 1))


def _dense(chain: _Chain, nodes: int) -> None:
    """Connections to all blocks of eight before, as in a DenseNet."""
    blocks = [chain.last]
    for _ in range(nodes // 3):
        chain.last = blocks[0]
        if len(blocks) > 1:
            chain.add("Concat", *blocks[1:], axis=1)
        chain.add("Conv", chain.noise(3, 3 * len(blocks), 1, 1, scale=0.1))
        blocks = [*blocks, chain.add("Relu")][-8:]


def _views(chain: _Chain, nodes: int) -> None:
    """Views of many forms that do not cancel, with an op between them."""
    shapes = [[1, 24, 8], [1, 2, 12, 8], [1, 6, 4, 8], [1, 3, 64], [1, 3, 8, 8]]
    weights = [chain.weight(np.array(shape, np.int64)) for shape in shapes]
    axes = chain.weight(np.array([0], np.int64))
    for number in range(nodes // 5):
        chain.add("Reshape", weights[number % len(weights)])
        chain.add("Unsqueeze", axes)
        chain.add("Tanh")
        chain.add("Squeeze", axes)
        chain.add("Reshape", weights[-1])


GRAPHS: dict[str, Callable[[_Chain, int], None]] = {
    "conv": _convolutions,
    "add": _additions,
    "plain_add": _plain_additions,
    "residual": _residuals,
    "matmul": _products,
    "transpose": _transposes,
    "transposed_ops": _transposed_ops,
    "reshape": _reshapes,
    "scalars": _scalars,
    "concat": _concat,
    "split": _split,
    "if": _branches,
    "norm": _norms,
    "shapes": _shapes,
    "fan_out": _fan_out,
    "paths": _paths,
    "constants": _constants,
    "slices": _slices,
    "dense": _dense,
    "views": _views,
}


def model_of(kind: str, nodes: int) -> onnx.ModelProto:
    """Return a graph of about ``nodes`` nodes."""
    chain = _Chain()
    GRAPHS[kind](chain, nodes)
    chain.last = chain.nodes[-1].output[0]
    chain.nodes.append(helper.make_node("Sigmoid", [chain.last], ["y"]))
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        chain.nodes,
        kind,
        [info("x", onnx.TensorProto.FLOAT, SHAPE)],
        [info("y", onnx.TensorProto.FLOAT, list("nchw"))],
        chain.weights,
    )
    opset = helper.make_opsetid("", 18)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9)
