"""MaxUnpool2d in 8 bits: how OpenVINO reads unpoolings of quantized graphs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.engines.base import BuildSettings, RunSettings
from ocr_trt.engines.openvino.library import import_openvino
from ocr_trt.engines.targets import backend
from ocr_trt.measure.work import graph_work
from ocr_trt.plugins import max_pool_argmax_2d, max_unpool_2d

TARGET = backend("openvino")
TEXT = """
    <ir_version: 10, opset_import: ["" : 20, "ocr_trt" : 1]>
    agraph (float[{size}] x) => (float[{result}] y)
    <float s = {{0.25}}, float t = {{0.1}}, int8 zero = {{0}}, int8 one = {{1}}> {{
        pooled, place = ocr_trt.MaxPoolArgmax2d(x)
        small = Neg(pooled)
        {middle}
    }}
"""
QUANTIZED = "q = QuantizeLinear(u, s, zero) \n y = DequantizeLinear(q, s, zero)"
UNPOOL = "u = ocr_trt.MaxUnpool2d(small, place)"
CONCAT = f"""
    v = ocr_trt.MaxUnpool2d(small, place)
    u = Concat <axis = 1> (v, x)
    {QUANTIZED}
"""


def graph(middle: str, size: str = "2,3,8,12", result: str = "N,C,H,W") -> onnx.ModelProto:
    text = TEXT.format(middle=middle, size=size, result=result)
    bodies = max_pool_argmax_2d.BODY + max_unpool_2d.BODY
    return onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text + bodies))


def read(model: onnx.ModelProto) -> Any:
    return TARGET._read(model)  # type: ignore[attr-defined]


def compiled(model: onnx.ModelProto) -> Any:
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    return import_openvino().Core().compile_model(read(model), "CPU", config)


def fires(model: onnx.ModelProto) -> bool:
    """Whether the large tensors are moved as bytes, in place of a DepthToSpace of floats."""
    types = [op.get_type_name() for op in read(model).get_ops()]
    assert ("DepthToSpace" in types) != ("Interpolate" in types)
    return "Interpolate" in types


def check_equal(model: onnx.ModelProto, x: np.ndarray) -> None:
    expected = onnx_session(model).run(None, {"x": x})
    assert all(each.any() for each in expected)
    found = compiled(model)([x])
    for index, each in enumerate(expected):
        np.testing.assert_allclose(found[index], each, rtol=0, atol=1e-6)


def image(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (20 * rng.standard_normal(shape)).astype(np.float32)  # some values are clipped


@pytest.mark.parametrize(
    "middle",
    [
        pytest.param(f"{UNPOOL} \n {QUANTIZED}", id="pair"),
        pytest.param(CONCAT, id="concat"),
        pytest.param(
            f"{UNPOOL}\n c = Concat <axis = 1> (u, x)\n {QUANTIZED}\n"
            "r = QuantizeLinear(c, s, zero)\n z = DequantizeLinear(r, s, zero)",
            id="two readers",
        ),
    ],
)
def test_unpoolings_that_are_quantized_move_bytes(middle: str, rng: np.random.Generator) -> None:
    model = graph(middle)
    assert fires(model)
    check_equal(model, image(rng, 2, 3, 8, 12))


def test_ties_are_rounded_to_even(rng: np.random.Generator) -> None:
    halves = rng.integers(-300, 300, (2, 3, 8, 12)) / 8  # s is 1/4: every second value is a tie
    check_equal(graph(CONCAT), halves.astype(np.float32))


def test_layers_move_bytes_and_have_names_of_the_call(tmp_path: Path) -> None:
    model, plan = graph(CONCAT), tmp_path / "plan.xml"
    model.graph.node[2].name = "unpool"
    TARGET.build(model, plan, BuildSettings(max_batch=2))
    images = np.zeros((2, 3, 8, 12), np.float32)
    layers = TARGET.layer_times(plan, images, RunSettings(), seconds=0.1)
    labels = graph_work(model, 2).labels
    own = [each for each in layers if "unpool" in {labels.get(node) for node in each.nodes}]
    kinds = Counter(each.kind for each in own)
    assert kinds["Interpolate"] == 2, "values and places"
    for each in own:
        if each.kind == "Interpolate":
            assert each.precision == "int8"
            assert each.bytes < 2 * images.size, "float32 would be 5 bytes per pixel"


def test_result_keeps_its_name(tmp_path: Path, rng: np.random.Generator) -> None:
    model, plan, x = graph(CONCAT), tmp_path / "plan.xml", image(rng, 2, 3, 8, 12)
    TARGET.build(model, plan, BuildSettings(max_batch=2))
    found = TARGET.look_inside(plan, ["v"], x)["v"]
    model.graph.output.append(onnx.helper.make_tensor_value_info("v", 1, None))
    expected = onnx_session(model).run(["v"], {"x": x})[0]
    rounded = np.clip(np.rint(expected / 0.25), -128, 127) * 0.25
    np.testing.assert_array_equal(found, rounded)


@pytest.mark.parametrize("batch", [1, 3])
def test_batch_may_be_free(batch: int, rng: np.random.Generator) -> None:
    model = graph(CONCAT, size="N,3,8,12")
    assert fires(model)
    check_equal(model, image(rng, batch, 3, 8, 12))


@pytest.mark.parametrize(
    ("middle", "size"),
    [
        pytest.param(f"{UNPOOL}\n {QUANTIZED}\n z = Relu(u)", "1,3,8,8", id="float reader"),
        pytest.param("y = ocr_trt.MaxUnpool2d(small, place)", "1,3,8,8", id="output"),
        pytest.param(f"{UNPOOL}\n {QUANTIZED}", "1,3,H,W", id="free size"),
        pytest.param(
            f"{UNPOOL}\n {QUANTIZED}\n r = QuantizeLinear(u, t, zero)"
            "\n z = DequantizeLinear(r, t, zero)",
            "1,3,8,8",
            id="other scale",
        ),
        pytest.param(
            f"{UNPOOL}\n {QUANTIZED}".replace("zero)", "one)"), "1,3,8,8", id="zero point"
        ),
        pytest.param(
            f"{UNPOOL}\n c = Concat <axis = 1> (u, x)\n {QUANTIZED}\n z = Relu(c)",
            "1,3,8,8",
            id="float reader of a concat",
        ),
    ],
)
def test_other_unpoolings_stay_in_float(middle: str, size: str, rng: np.random.Generator) -> None:
    model = graph(middle, size)
    if "z = " in middle:
        model.graph.output.append(onnx.helper.make_tensor_value_info("z", 1, None))
    assert not fires(model)
    if "one" not in middle:  # the graphs of this project have zero points of 0
        check_equal(model, image(rng, 1, 3, 8, 8))
