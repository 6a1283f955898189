"""Measure how the time of a conversion grows with the number of nodes.

    python benchmarks/conversion_scaling.py [--nodes 1000 5000] [--graphs add conv] [--passes]

Prints a table for docs/limits.md: seconds of processor time per 1000 nodes, for each kind of graph.
``--passes`` also prints the passes that take most of the time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.spec import ModelSpec, SourceSpec, spec_from_dict

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
    flat = chain.weight(np.array([-1], np.int64))
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
    assert flat


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


def spec_of(path: Path) -> ModelSpec:
    return spec_from_dict(
        {
            "name": "chain",
            "role": "detector",
            "source": SourceSpec(path=path),
            "input": {"name": "x", "shape": SHAPE, "layout": "NCHW"},
            "output": {"name": "y"},
        },
        "chain",
    )


def measure(kind: str, nodes: int) -> tuple[int, float, Counter[str]]:
    """Convert a graph; return its nodes, the seconds of processor time, and those of each step."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model = model_of(kind, nodes)
        onnx.save(model, path)
        spec, steps = spec_of(path), Counter[str]()
        start = last = time.process_time()
        source = open_source(spec.source)
        last = time.process_time()
        steps["open"] = last - start

        def watch(name: str, graph: object) -> None:
            nonlocal last
            now = time.process_time()
            steps[name] += now - last
            last = now

        convert(source, spec, watch=watch)
        steps["end"] = time.process_time() - last
        return len(model.graph.node), time.process_time() - start, steps


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000, 5000, 20000, 50000])
    parser.add_argument("--graphs", nargs="+", default=list(GRAPHS))
    parser.add_argument("--passes", action="store_true")
    arguments = parser.parse_args()
    for kind in arguments.graphs:
        for nodes in arguments.nodes:
            try:
                count, seconds, steps = measure(kind, nodes)
            except Exception as error:
                print(f"{kind:16s} {nodes:6d} {type(error).__name__}: {error!s:.300}", flush=True)
                continue
            line = f"{kind:16s} {count:6d} {seconds:8.2f} s {1000 * seconds / count:8.3f} s/1000"
            if arguments.passes:
                line += "  " + ", ".join(f"{n} {s:.2f}" for n, s in steps.most_common(8))
            print(line, flush=True)


if __name__ == "__main__":
    main()
