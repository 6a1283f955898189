"""All passes on random graphs of views, dense layers, activations and norms: same numbers."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper
from onnx_ir.passes import common

from ocr_trt.convert.invariants import check_graph
from ocr_trt.convert.pass_order import PASSES
from ocr_trt.convert.passes.raise_dense import raise_dense

from .helpers import run

NODES = 12
LARGEST = 4000
"""Elements of a tensor."""
Shape = tuple[int, ...]


class DenseAuthor:
    """Writes a random graph, layer by layer, like an exporter that flattens and restores axes."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants = list[onnx.NodeProto](), list[onnx.TensorProto]()
        start = ((1, 4, 6, 8), (2, 3, 4, 5), (1, 12, 8), (6, 8), (2, 1, 6, 4))
        self.values: dict[str, Shape] = {"x": start[self.rng.integers(len(start))]}

    def constant(self, array: object) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weights(self, *shape: int) -> str:
        fan_in = shape[-2] if len(shape) > 1 else 1
        return self.constant(self.rng.normal(0, fan_in**-0.5, shape).astype(np.float32))

    def add(self, op: str, inputs: list[str], shape: Shape, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        self.values[name] = tuple(map(int, shape))
        return name

    def factors(self, size: int) -> Shape:
        """Return a random shape of that many elements."""
        found = list[int]()
        while size > 1 and len(found) < 4:
            divisors = [d for d in range(1, size + 1) if size % d == 0]
            found.append(size if len(found) == 3 else int(self.rng.choice(divisors)))
            size //= found[-1]
        return tuple(found) if size == 1 and found else (*found, size)

    def view(self, x: str, shape: Shape) -> None:
        kind = self.rng.integers(6)
        if kind == 0:  # merge or split axes
            target = self.factors(int(np.prod(shape)))
            self.add("Reshape", [x, self.constant(np.array(target))], target)
        elif kind == 1 and len(shape) > 2:  # rows
            target = (int(np.prod(shape[:-1])), shape[-1])
            self.add("Reshape", [x, self.constant(np.array(target))], target)
        elif kind == 2:
            perm = [int(i) for i in self.rng.permutation(len(shape))]
            self.add("Transpose", [x], tuple(shape[i] for i in perm), perm=perm)
        elif kind == 3 and 1 in shape[:-1] and len(shape) > 1:
            axis = shape.index(1)
            axes = self.constant(np.array([axis]))
            self.add("Squeeze", [x, axes], shape[:axis] + shape[axis + 1 :])
        elif kind == 4 and len(shape) < 4:
            axis = int(self.rng.integers(len(shape) + 1))
            axes = self.constant(np.array([axis]))
            self.add("Unsqueeze", [x, axes], (*shape[:axis], 1, *shape[axis:]))
        else:
            axis = int(self.rng.integers(1, len(shape) + 1))
            sides = int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))
            self.add("Flatten", [x], sides, axis=axis)

    def dense(self, x: str, shape: Shape) -> None:
        size, kind = int(self.rng.integers(2, 7)), self.rng.integers(6)
        if kind == 0 and len(shape) == 2:
            is_transposed = int(self.rng.integers(2))
            sides = (size, shape[1]) if is_transposed else (shape[1], size)
            y = self.add(
                "Gemm",
                [x, self.weights(*sides), self.weights(size)],
                (shape[0], size),
                transB=is_transposed,
                alpha=float(self.rng.choice([1.0, 0.5])),
            )
        elif kind == 1 and len(shape) >= 2:  # a constant on the left
            y = self.add(
                "MatMul", [self.weights(size, shape[-2]), x], (*shape[:-2], size, shape[-1])
            )
        elif kind == 2 and len(shape) >= 3:  # other weights for each matrix
            each = (*shape[:-2], shape[-1], size)
            y = self.add("MatMul", [x, self.weights(*each)], (*shape[:-1], size))
        elif kind == 3 and 2 <= len(shape) < 4:  # weights that add an axis
            each = (2, *(1,) * (len(shape) - 2), shape[-1], size)
            y = self.add("MatMul", [x, self.weights(*each)], (2, *shape[:-1], size))
        elif kind == 4 and len(shape) >= 2:  # x x^T
            perm = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
            turned = self.add("Transpose", [x], tuple(shape[i] for i in perm), perm=perm)
            scores = self.add("MatMul", [x, turned], (*shape[:-1], shape[-2]))
            y = self.add("Softmax", [scores], self.values[scores], axis=-1)
        elif len(shape) >= 2:
            y = self.add("MatMul", [x, self.weights(shape[-1], size)], (*shape[:-1], size))
        else:
            return
        if self.rng.random() < 0.5:
            shape = self.values[y]
            self.add("Add", [y, self.weights(shape[-1])], shape)

    def elementwise(self, x: str, shape: Shape) -> None:
        kind = self.rng.integers(6)
        if kind == 0:
            self.add(str(self.rng.choice(["Relu", "Tanh", "Softplus"])), [x], shape)
        elif kind == 1:  # swish
            self.add("Mul", [x, self.add("Sigmoid", [x], shape)], shape)
        elif kind == 2:
            alike = [name for name, other in self.values.items() if other == shape]
            op = str(self.rng.choice(["Add", "Mul", "Sub"]))
            self.add(op, [x, str(self.rng.choice(alike))], shape)
        elif kind == 3:  # along any axis, on any side
            sizes = [size if self.rng.random() < 0.4 else 1 for size in shape]
            pair = [x, self.weights(*sizes)]
            self.add(str(self.rng.choice(["Add", "Mul"])), pair[:: self.rng.choice([1, -1])], shape)
        elif kind == 4:
            self.add("Mul", [x, self.constant(np.float32(0.5))], shape)
        else:
            self.add("Add", [x, self.weights(shape[-1])], shape)

    def norm(self, x: str, shape: Shape) -> None:
        axis = int(self.rng.integers(len(shape))) - len(shape) if self.rng.random() < 0.4 else -1
        axes = self.constant(np.array([axis]))
        kept = tuple(1 if i == axis % len(shape) else size for i, size in enumerate(shape))
        centered = self.add("Sub", [x, self.add("ReduceMean", [x, axes], kept)], shape)
        square = self.add("Mul", [centered, centered], shape)
        variance = self.add("ReduceMean", [square, axes], kept)
        safe = self.add("Add", [variance, self.constant(np.float32(0.1))], kept)
        y = self.add("Div", [centered, self.add("Sqrt", [safe], kept)], shape)
        if self.rng.random() < 0.7:
            y = self.add("Mul", [y, self.weights(shape[-1])], shape)
            self.add("Add", [y, self.weights(shape[-1])], shape)

    def write_one(self) -> None:
        names = list(self.values)
        x = names[-1 - min(int(self.rng.exponential(0.7)), len(names) - 1)]
        steps = (
            self.view,
            self.view,
            self.view,
            self.dense,
            self.dense,
            self.elementwise,
            self.norm,
        )
        if np.prod(self.values[x]) <= LARGEST:
            steps[self.rng.integers(len(steps))](x, self.values[x])

    def model(self) -> ir.Model:
        for _ in range(10 * NODES):
            if len(self.nodes) < NODES:
                self.write_one()
        read = {name for node in self.nodes for name in node.input}
        ends = [name for name in self.values if name not in read]
        outputs = [helper.make_tensor_value_info(n, 1, self.values[n]) for n in ends]
        entry = helper.make_tensor_value_info("x", 1, self.values["x"])
        graph = helper.make_graph(self.nodes, "random", [entry], outputs, self.constants)
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
        proto.ir_version = 10
        model = ir.from_proto(proto)
        common.ShapeInferencePass()(model)
        return model


@pytest.mark.parametrize(
    "seed", [*range(25), *(pytest.param(n, marks=pytest.mark.full) for n in range(25, 300))]
)
def test_random_graph_keeps_its_numbers(seed: int) -> None:
    model = DenseAuthor(seed).model()
    expected = run(model)
    for step in PASSES:
        if step(model).changed:
            check_graph(model, step.__name__)
            for ours, theirs in zip(run(model), expected, strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-4, err_msg=str(step))


def test_dense_layers_of_random_graphs_are_raised() -> None:
    assert sum(raise_dense(DenseAuthor(seed).model()).changed > 0 for seed in range(60)) >= 5
