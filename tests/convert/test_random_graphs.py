"""sink_views and collapse_views on random graphs: same numbers, and no more Transposes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper
from onnx_ir.passes import common

from ocr_trt.convert.passes.collapse_views import collapse_views
from ocr_trt.convert.passes.sink_views import sink_views

from .helpers import ops, run

NHWC, NCHW = [0, 2, 3, 1], [0, 3, 1, 2]
NODES = 14


class Author:
    """Writes a random graph, node by node, like a network of mixed layouts."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants = list[onnx.NodeProto](), list[onnx.TensorProto]()
        self.values: dict[str, tuple[int, ...]] = {"x": (1, 3, 4, 5)}

    def constant(self, array: object) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, op: str, inputs: list[str], shape: tuple[int, ...], **attributes: object) -> None:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        self.values[name] = shape

    def write_one(self) -> None:
        names = list(self.values)
        name = names[-1 - min(int(self.rng.exponential(1.5)), len(names) - 1)]
        shape = self.values[name]
        alike = [other for other in names if self.values[other] == shape]
        kind = self.rng.integers(8)
        if kind < 3:
            perm = NHWC if self.rng.random() < 0.5 else NCHW
            self.add("Transpose", [name], tuple(shape[i] for i in perm), perm=perm)
        elif kind == 3:
            self.add(str(self.rng.choice(["Relu", "Sigmoid", "Neg"])), [name], shape)
        elif kind == 4:
            self.add("Mul", [name, str(self.rng.choice(alike))], shape)
        elif kind == 5:
            each = self.rng.uniform(0.5, 1.5, shape[-1]).astype(np.float32)
            self.add("Add", [self.constant(each), name], shape)
        elif kind == 6:
            axes = self.constant(np.sort(self.rng.choice(4, 2, replace=False)))
            kept = numpy_helper.to_array(self.constants[-1])
            mean = tuple(1 if axis in kept else size for axis, size in enumerate(shape))
            self.add("ReduceMean", [name, axes], mean)
            self.add("Sub", [name, list(self.values)[-1]], shape)
        else:
            pads = self.rng.integers(0, 2, 8)
            grown = tuple(int(s + pads[i] + pads[i + 4]) for i, s in enumerate(shape))
            self.add("Pad", [name, self.constant(pads)], grown)

    def model(self) -> ir.Model:
        while len(self.nodes) < NODES:
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
    "seed", [*range(20), *(pytest.param(n, marks=pytest.mark.full) for n in range(20, 60))]
)
def test_random_graph_keeps_its_numbers(seed: int) -> None:
    model = Author(seed).model()
    before, transposes = run(model), ops(model)["Transpose"]
    collapse_views(model)
    left = ops(model)["Transpose"]
    sink_views(model)
    collapse_views(model)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    for ours, theirs in zip(run(model), before, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert ops(model)["Transpose"] <= left <= transposes


def test_some_random_graphs_lose_transposes_by_sinking() -> None:
    better = 0
    for seed in range(60):
        model = Author(seed).model()
        collapse_views(model)
        left = ops(model)["Transpose"]
        sink_views(model)
        collapse_views(model)
        better += ops(model)["Transpose"] < left
    assert better >= 10
