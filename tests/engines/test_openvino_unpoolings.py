"""How OpenVINO reads MaxPoolArgmax2d and MaxUnpool2d: repeated values, in 8 bits if quantized."""

from __future__ import annotations

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
INT8_CONVOLUTION = f"""
    a = QuantizeLinear(small, s, zero)
    b = DequantizeLinear(a, s, zero)
    c = Constant <value = int8[8,8,1,1] {{{", ".join(map(str, range(64)))}}}> ()
    d = DequantizeLinear(c, s, zero)
    e = Conv(b, d)
    u = ocr_trt.MaxUnpool2d(e, place)
    {QUANTIZED}
"""


def graph(middle: str, size: str = "2,8,8,12", result: str = "N,C,H,W") -> onnx.ModelProto:
    text = TEXT.format(middle=middle, size=size, result=result)
    bodies = max_pool_argmax_2d.BODY + max_unpool_2d.BODY
    return onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text + bodies))


def read(model: onnx.ModelProto) -> Any:
    return TARGET._read(model)  # type: ignore[attr-defined]


def compiled(model: onnx.ModelProto) -> Any:
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    return import_openvino().Core().compile_model(read(model), "CPU", config)


def form(model: onnx.ModelProto) -> str:
    """Return how the graph unpools: "body" of the function, or repeated "float32" or "uint8"."""
    ops = read(model).get_ops()
    (form,) = {
        "body" if op.get_type_name() == "DepthToSpace" else op.get_input_element_type(0).to_string()
        for op in ops
        if op.get_type_name() in ("DepthToSpace", "Interpolate")
    }
    return {"f32": "float32", "u8": "uint8"}.get(form, form)


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
def test_quantized_unpoolings_move_bytes(middle: str, rng: np.random.Generator) -> None:
    model = graph(middle)
    assert form(model) == "uint8"
    check_equal(model, image(rng, 2, 8, 8, 12))


def test_ties_are_rounded_to_even(rng: np.random.Generator) -> None:
    halves = rng.integers(-300, 300, (2, 8, 8, 12)) / 8  # s is 1/4: every second value is a tie
    check_equal(graph(CONCAT), halves.astype(np.float32))


def test_layers_move_bytes_and_have_names_of_the_call(tmp_path: Path) -> None:
    model, plan = graph(INT8_CONVOLUTION), tmp_path / "plan.xml"
    for node in model.graph.node:
        node.name = "unpool" if node.op_type == "MaxUnpool2d" else node.output[0]
    TARGET.build(model, plan, BuildSettings(max_batch=2))
    images = np.zeros((2, 8, 8, 12), np.float32)
    layers = TARGET.layer_times(plan, images, RunSettings(), seconds=0.1)
    labels = graph_work(model, 2).labels
    calls = {each.name: {labels.get(node) for node in each.nodes} for each in layers}
    moved = [each for each in layers if each.kind == "Interpolate"]
    assert len(moved) == 2, "values and places"
    for each in moved:
        assert calls[each.name] == {"unpool"}
        assert each.precision == "int8"
        assert each.bytes < 2 * images.size, "float32 would be 5 bytes per pixel"
    convolution = next(each for each in layers if each.kind == "Convolution")
    assert calls[convolution.name] & {"unpool", "e"} == {"e"}, "it also rounds"
    assert convolution.bytes < 2 * images.size, "it writes bytes"


def test_result_keeps_its_name(tmp_path: Path, rng: np.random.Generator) -> None:
    model, plan, x = graph(CONCAT), tmp_path / "plan.xml", image(rng, 2, 8, 8, 12)
    TARGET.build(model, plan, BuildSettings(max_batch=2))
    found = TARGET.look_inside(plan, ["v"], x)["v"]
    model.graph.output.append(onnx.helper.make_tensor_value_info("v", 1, None))
    expected = onnx_session(model).run(["v"], {"x": x})[0]
    rounded = np.clip(np.rint(expected / 0.25), -128, 127) * 0.25
    np.testing.assert_array_equal(found, rounded)


@pytest.mark.parametrize("batch", [1, 3])
def test_batch_may_be_free(batch: int, rng: np.random.Generator) -> None:
    model = graph(CONCAT, size="N,8,8,12")
    assert form(model) == "uint8"
    check_equal(model, image(rng, batch, 8, 8, 12))


FLOATS = [
    pytest.param("y = ocr_trt.MaxUnpool2d(small, place)", id="output"),
    pytest.param(f"{UNPOOL}\n {QUANTIZED}\n z = Relu(u)", id="float reader"),
    pytest.param(
        f"{UNPOOL}\n c = Concat <axis = 1> (u, x)\n {QUANTIZED}\n z = Relu(c)",
        id="float reader of a concat",
    ),
    pytest.param(
        f"{UNPOOL}\n {QUANTIZED}\n r = QuantizeLinear(u, t, zero)"
        "\n z = DequantizeLinear(r, t, zero)",
        id="two scales",
    ),
    pytest.param(f"{UNPOOL}\n {QUANTIZED}".replace("zero)", "one)"), id="zero point"),
]


@pytest.mark.parametrize("middle", FLOATS)
def test_unpoolings_with_other_readers_move_floats(middle: str, rng: np.random.Generator) -> None:
    model = graph(middle, "2,8,8,8")
    if "z = " in middle:
        model.graph.output.append(onnx.helper.make_tensor_value_info("z", 1, None))
    assert form(model) == "float32"
    if "one" not in middle:  # OpenVINO's backend reads symmetric pairs only
        check_equal(model, image(rng, 2, 8, 8, 8))


@pytest.mark.parametrize(("channels", "expected"), [(7, "body"), (12, "body"), (17, "uint8")])
def test_few_channels_that_are_no_multiple_of_8_keep_the_body(
    channels: int, expected: str, rng: np.random.Generator
) -> None:
    model = graph(CONCAT, f"1,{channels},8,8")
    assert form(model) == expected
    check_equal(model, image(rng, 1, channels, 8, 8))


def test_unpooling_of_a_free_size_keeps_its_body(rng: np.random.Generator) -> None:
    model = graph(CONCAT, "1,8,H,W")
    assert form(model) == "body"
    check_equal(model, image(rng, 1, 8, 8, 4))


def test_unpooling_in_bf16_stays_in_bf16() -> None:
    halves = "h = Cast <to = 16> (small)\n p = Cast <to = 16> (place)"
    half = f"{halves}\n b = ocr_trt.MaxUnpool2d(h, p)\n u = Cast <to = 1> (b)\n {QUANTIZED}"
    assert form(graph(half)) == "bf16"


def test_infinities_are_unpooled() -> None:
    x = np.zeros((1, 8, 4, 4), np.float32)
    x[0, 0, 1, 0], x[0, 0, 2:, 2:] = np.inf, -np.inf
    check_equal(graph("y = ocr_trt.MaxUnpool2d(small, place)", "1,8,4,4"), x)


@pytest.mark.parametrize("size", ["2,8,8,12", "2,8,H,W"])
def test_maxima_are_those_that_decide_the_places(size: str, rng: np.random.Generator) -> None:
    model = graph("y = Add(small, place)", size)
    types = {op.get_type_name() for op in read(model).get_ops()}
    assert "MaxPool" not in types
    assert "Maximum" in types
    x = rng.integers(-3, 3, (2, 8, 8, 12)).astype(np.float32)  # many values are equal
    check_equal(model, x)


def test_pooling_with_the_body_of_another_version_stays(rng: np.random.Generator) -> None:
    model, text = graph(CONCAT), max_pool_argmax_2d.BODY
    other = text.replace("Max (x00, x01)", "Sum (x00, x01)").replace("Max (x10", "Sum (x10")
    assert other != text
    model.functions[0].CopyFrom(onnx.parser.parse_function(other))
    assert "MaxPool" in {op.get_type_name() for op in read(model).get_ops()}
    check_equal(model, image(rng, 2, 8, 8, 12))
