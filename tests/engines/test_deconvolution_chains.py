"""Deconvolutions in a row become 1x1 Convs; see :mod:`ocr_trt.engines.deconvolution_chains`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.engines.base import BuildSettings, RunSettings
from ocr_trt.engines.deconvolution_chains import lower_deconvolution_chains
from ocr_trt.engines.targets import backend


def head(
    rng: np.random.Generator,
    layers: Sequence[tuple[str, tuple[int, ...]]],
    *,
    batch: int | str = 1,
    also: Sequence[str] = (),
) -> onnx.ModelProto:
    """Return a chain: names of activations, or deconvolutions with the shape of their weights.

    ``also``: results that are outputs too. A deconvolution "ConvTranspose pads=.." has attributes.
    """
    nodes, weights, value = [], [], "x"
    for index, (op, shape) in enumerate(layers):
        result, inputs = f"v{index}", [value]
        kind, *rest = op.split()
        settings = {k: json.loads(v) for k, v in (each.split("=") for each in rest)}
        if shape:
            arrays = rng.normal(0, 0.3, shape), rng.normal(0, 0.1, shape[1])
            names = [f"w{index}", f"b{index}"]
            inputs += names
            weights += [
                onnx.numpy_helper.from_array(a.astype(np.float32), n)
                for a, n in zip(arrays, names, strict=True)
            ]
            settings = {"strides": shape[2:], **settings}
        nodes.append(onnx.helper.make_node(kind, inputs, [result], name=result, **settings))
        value = result
    float32 = onnx.TensorProto.FLOAT
    x = onnx.helper.make_tensor_value_info("x", float32, [batch, layers[0][1][0], 5, 6])
    outputs = [onnx.helper.make_tensor_value_info(n, float32, None) for n in (value, *also)]
    graph = onnx.helper.make_graph(nodes, "head", [x], outputs, weights)
    opset = [onnx.helper.make_opsetid("", 20)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


DECONV = "ConvTranspose"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (
            [(DECONV, (8, 6, 2, 2)), ("Relu", ()), (DECONV, (6, 1, 2, 2)), ("Sigmoid", ())],
            ["Conv", "Relu", "Conv", "Sigmoid", "DepthToSpace"],
        ),
        ([(DECONV, (8, 6, 2, 2)), (DECONV, (6, 1, 2, 2))], ["Conv", "Conv", "DepthToSpace"]),
        (
            [(DECONV, (6, 4, 2, 2)), ("LeakyRelu alpha=0.3", ()), (DECONV, (4, 1, 2, 2))],
            ["Conv", "LeakyRelu", "Conv", "DepthToSpace"],
        ),
        (
            [(DECONV, (8, 6, 3, 3)), ("Tanh", ()), (DECONV, (6, 1, 1, 1))],
            ["ConvTranspose", "Tanh", "ConvTranspose"],
        ),
    ],
    ids=["head of differentiable binarization", "no activations", "attributes", "stride 1"],
)
@pytest.mark.parametrize("batch", [1, "N"])
def test_same_numbers(
    layers: list[tuple[str, tuple[int, ...]]],
    expected: list[str],
    batch: int | str,
    rng: np.random.Generator,
) -> None:
    model = head(rng, layers, batch=batch)
    lowered = ir.from_proto(model)
    assert lower_deconvolution_chains(lowered) == ("Conv" in expected)
    assert [node.op_type for node in lowered.graph] == expected
    after = ir.to_proto(lowered)
    onnx.checker.check_model(after, full_check=True)
    x = rng.standard_normal((1 if batch == 1 else 3, layers[0][1][0], 5, 6)).astype(np.float32)
    (before,), (result,) = (onnx_session(m).run(None, {"x": x}) for m in (model, after))
    np.testing.assert_allclose(result, before, atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "also"),
    [
        ([(DECONV, (8, 1, 2, 2)), ("Sigmoid", ())], ()),
        ([(DECONV, (8, 6, 2, 2)), ("Relu", ()), (DECONV, (6, 1, 2, 2))], ("v1",)),
        ([(DECONV, (8, 6, 2, 2)), ("Relu", ()), (DECONV, (6, 2, 2, 2))], ()),
        ([(DECONV, (2, 8, 2, 2)), ("Relu", ()), (DECONV, (8, 1, 2, 2))], ()),
        ([(DECONV, (8, 6, 2, 2)), ("Softmax axis=3", ()), (DECONV, (6, 1, 2, 2))], ()),
        ([(DECONV, (8, 6, 2, 2)), (f"{DECONV} strides=[1,1]", (6, 1, 2, 2))], ()),
        ([(f"{DECONV} pads=[1,1,0,0]", (8, 6, 2, 2)), (DECONV, (6, 1, 2, 2))], ()),
        ([(f"{DECONV} output_padding=[1,1]", (8, 6, 2, 2)), (DECONV, (6, 1, 2, 2))], ()),
    ],
    ids=[
        "only one", "another output", "many results", "mostly zeros", "not pointwise", "overlap",
        "pads", "output padding",
    ],
)  # fmt: skip
def test_other_chains_are_unchanged(
    layers: list[tuple[str, tuple[int, ...]]], also: tuple[str, ...], rng: np.random.Generator
) -> None:
    model = ir.from_proto(head(rng, layers, also=also))
    before = [node.op_type for node in model.graph]
    assert lower_deconvolution_chains(model) == 0
    assert [node.op_type for node in model.graph] == before


def test_openvino_keeps_chains_for_its_own_rewrite(rng: np.random.Generator) -> None:
    layers = [(DECONV, (8, 6, 2, 2)), ("Relu", ()), (DECONV, (6, 1, 2, 2))]
    assert backend("openvino").lower(model := head(rng, layers)) is model
    single = head(rng, [(DECONV, (6, 1, 2, 2)), ("Sigmoid", ())])
    lowered = backend("openvino").lower(single)
    assert [node.op_type for node in lowered.graph.node] == ["Conv", "DepthToSpace", "Sigmoid"]


def test_plan_of_openvino_has_no_deconvolution(rng: np.random.Generator, tmp_path: Path) -> None:
    layers = [(DECONV, (8, 6, 2, 2)), ("Relu", ()), (DECONV, (6, 1, 2, 2)), ("Sigmoid", ())]
    model, plan = head(rng, layers), tmp_path / "plan.xml"
    target = backend("openvino")
    target.build(model, plan, BuildSettings())
    assert "ConvolutionBackpropData" not in plan.read_text()
    x = rng.standard_normal((1, 8, 5, 6)).astype(np.float32)
    with target.open(plan, label="head", settings=RunSettings(is_trusted=True), max_batch=1) as own:
        result = own.run(x)
    (expected,) = onnx_session(model).run(None, {"x": x})
    np.testing.assert_allclose(result, expected, atol=1e-5)
