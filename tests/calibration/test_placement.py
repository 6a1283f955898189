"""Placement of Q/DQ pairs: excluded layers, residual sums, scales shared through a Concat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.calibration.autocast import autocast, float_tensors
from ocr_trt.calibration.emulate import emulated
from ocr_trt.calibration.half import BF16, FP16, HalfType
from ocr_trt.calibration.int8_style import Int8Style
from ocr_trt.calibration.observe import observe
from ocr_trt.calibration.placement import place
from ocr_trt.calibration.quantize import quantize, quantized_tensors
from ocr_trt.common.input_size import InputSize
from ocr_trt.common.onnx_session import onnx_session
from tests.convert.helpers import graph

UNET = """
    agraph (float[1,4,16,16] x) => (float[1,1,16,16] y) {
        c0 = Conv <pads = [1, 1, 1, 1]> (x, w0)
        skip = Relu(c0)
        c1 = Conv <pads = [1, 1, 1, 1]> (skip, w1)
        deep = Relu(c1)
        c2 = Conv <pads = [1, 1, 1, 1]> (deep, w2)
        sum = Add(c2, skip)
        a2 = Relu(sum)
        c3 = Conv <pads = [1, 1, 1, 1]> (a2, w2)
        a3 = Relu(c3)
        both = Concat <axis = 1> (a3, deep)
        c4 = Conv <pads = [1, 1, 1, 1]> (both, w4)
        a4 = Relu(c4)
        wide = Concat <axis = 1> (both, a4)
        c5 = Conv(wide, w5)
        a5 = Relu(c5)
        last = Conv(a5, w6)
        y = Sigmoid(last)
    }
"""
SHAPES = {"w0": (8, 4, 3, 3), "w1": (8, 8, 3, 3), "w2": (8, 8, 3, 3), "w4": (8, 16, 3, 3),
          "w5": (8, 24, 1, 1), "w6": (1, 8, 1, 1)}  # fmt: skip


@pytest.fixture(scope="module")
def unet() -> onnx.ModelProto:
    rng = np.random.default_rng(2)
    weights = {
        name: (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in SHAPES.items()
    }
    return ir.to_proto(graph(UNET, **weights))


@pytest.fixture(scope="module")
def peaks(unet: onnx.ModelProto) -> dict[str, float]:
    rng = np.random.default_rng(3)
    feeds = [rng.standard_normal((1, 4, 16, 16)).astype(np.float32) for _ in range(3)]
    return observe(
        {InputSize(16, 16): unet}, feeds, 3, histograms=[], peaks=float_tensors(unet)
    ).peaks


def inputs_of(model: onnx.ModelProto, output: str) -> list[str]:
    return list(next(node for node in model.graph.node if output in node.output).input)


def scales_of(model: onnx.ModelProto) -> dict[str, float]:
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return {node.input[0]: float(arrays[node.input[1]]) for node in pairs}


def noise(model: onnx.ModelProto, quantized: onnx.ModelProto) -> float:
    x = np.random.default_rng(9).standard_normal((1, 4, 16, 16)).astype(np.float32)
    exact, rounded = (onnx_session(emulated(m)).run(None, {"x": x})[0] for m in (model, quantized))
    return float(10 * np.log10(np.var(exact) / np.square(exact - rounded).mean()))


def test_excluded_layers_keep_float_for_the_given_reason(
    unet: onnx.ModelProto, peaks: dict[str, float]
) -> None:
    found = quantize(unet, peaks, excluded={"c3": "because I say so", "last": "not asked"})
    reasons = {p.node: p.reason for p in found.placements}
    assert reasons["c3"] == "because I say so"
    assert "last layer" in str(reasons["last"]), "the rule's own reason comes first"
    assert reasons["c2"] is None
    assert inputs_of(found.model, "c3") == ["a2", "w2"], "w2 is shared, and float here"
    assert inputs_of(found.model, "c2") == ["deep.rounded", "w2.axis0.rounded"]
    assert set(scales_of(found.model)) == {"skip", "deep", "both", "wide"}


def test_skips_are_rounded_only_where_the_target_requires_it(
    unet: onnx.ModelProto, peaks: dict[str, float]
) -> None:
    plain = quantize(unet, peaks).model
    assert inputs_of(plain, "sum") == ["c2", "skip"]
    rounded = quantize(unet, peaks, Int8Style(rounds_skips=True)).model
    assert inputs_of(rounded, "sum") == ["c2", "skip.rounded"], "the skip, not the convolution"
    assert set(scales_of(rounded)) == set(scales_of(plain)), "no pair more"
    excluded = quantize(unet, peaks, Int8Style(rounds_skips=True), {"c2": "excluded"}).model
    assert inputs_of(excluded, "sum") == ["c2", "skip"], "a float convolution is fused with nothing"


def test_what_meets_in_a_concat_gets_one_scale(
    unet: onnx.ModelProto, peaks: dict[str, float]
) -> None:
    ranges = {**peaks, "deep": 3.0, "both": 1.0, "wide": 2.0}
    own = scales_of(quantize(unet, ranges).model)
    assert len({own["both"], own["deep"], own["wide"]}) == 3
    shared = scales_of(quantize(unet, ranges, Int8Style(shares_scales=True)).model)
    assert shared["both"] == shared["deep"] == shared["wide"], "through the second Concat too"
    assert shared["wide"] == own["deep"], "the largest"
    assert shared["skip"] == own["skip"], "it meets nothing"


@pytest.mark.parametrize("half", [FP16, BF16], ids=["fp16", "bf16"])
@pytest.mark.parametrize("style", [Int8Style(), Int8Style(shares_scales=True, rounds_skips=True)],
                         ids=["plain", "for TensorRT"])  # fmt: skip
def test_int8_and_16_bits_meet_in_one_graph(
    half: HalfType, style: Int8Style, unet: onnx.ModelProto, peaks: dict[str, float]
) -> None:
    int8 = quantize(unet, peaks, style).model
    mixed = autocast(int8, peaks, half)
    assert mixed.kept == {}, "pairs are not reported: they are fp32 by definition"
    kinds = {t.name: t.data_type for t in mixed.model.graph.initializer}
    pairs = [n for n in mixed.model.graph.node if n.op_type.endswith("quantizeLinear")]
    assert pairs
    assert all(kinds[node.input[1]] == onnx.TensorProto.FLOAT for node in pairs), "exact scales"
    assert noise(unet, int8) > 20
    assert noise(unet, mixed.model) > 20
    assert noise(int8, mixed.model) > 20


@pytest.mark.parametrize("half", [FP16, BF16], ids=["fp16", "bf16"])
@pytest.mark.parametrize(
    "capability",
    [
        pytest.param("8.6", marks=pytest.mark.full),
        "8.9",
        pytest.param("12.0", marks=pytest.mark.full),
    ],
)
def test_nvidias_builder_accepts_int8_beside_16_bits(
    capability: str, half: HalfType, unet: onnx.ModelProto, peaks: dict[str, float], tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    from ocr_trt.engines.base import BuildSettings
    from ocr_trt.engines.targets import backend

    style = backend("tensorrt-rtx").needs().style
    mixed = autocast(quantize(unet, peaks, style).model, peaks, half)
    settings = BuildSettings(options={"compute-capability": capability})
    backend("tensorrt-rtx").build(mixed.model, tmp_path / "plan", settings)
    assert (tmp_path / "plan").stat().st_size > 10_000


def test_ranges_are_needed_for_what_int8_reads(unet: onnx.ModelProto) -> None:
    assert quantized_tensors(unet) == ["skip", "deep", "a2", "both", "wide"]
    assert quantize(unet, dict.fromkeys(quantized_tensors(unet), 1.0)).model.graph.node


MIXED = """
    agraph (float[1,8,8,8] x) => (float[1,64,16] y) <int64[3] to = {1, 64, 8}> {
        c0 = Conv <pads = [1, 1, 1, 1]> (x, w0)
        a0 = Relu(c0)
        c1 = Conv <pads = [1, 1, 1, 1]> (a0, w0)
        rows = Reshape(c1, to)
        m = MatMul(rows, w1)
        r = Relu(m)
        last = MatMul(r, w2)
        y = Softmax(last)
    }
"""


def test_products_may_stay_in_float() -> None:
    rng = np.random.default_rng(2)
    shapes = {"w0": (8, 8, 3, 3), "w1": (8, 16), "w2": (16, 16)}
    weights = {name: rng.standard_normal(s).astype(np.float32) for name, s in shapes.items()}
    model = ir.to_proto(graph(MIXED, **weights))

    def int8_ops(style: Int8Style) -> set[str]:
        ranges = dict.fromkeys(("x", "a0", "rows", "r"), 3.0)
        return {p.node for p in quantize(model, ranges, style).placements if p.reason is None}

    assert int8_ops(Int8Style()) == {"c1", "m"}
    assert int8_ops(Int8Style(products=False)) == {"c1"}
    assert int8_ops(Int8Style(products=False, everywhere=True)) == {"c0", "c1"}
    assert int8_ops(Int8Style(everywhere=True)) == {"c0", "c1", "m", "last"}
    assert quantized_tensors(model, products=False) == ["a0"]
    (reason,) = [
        p.reason for p in place(ir.from_proto(model).graph, products=False) if p.node == "m"
    ]
    assert reason == "matrix products are faster in float on this processor"


def test_all_ops_that_compute_products_are_listed() -> None:
    """Shares of int8 are wrong if the FLOPs of an LSTM are not counted."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[4,1,8] x) => (float[1,1,16] h)
        { "", h = LSTM <hidden_size = 16> (x, w, r) }"""
    model = onnx.parser.parse_model(text)
    for name, shape in (("w", (1, 64, 8)), ("r", (1, 64, 16))):
        array = np.zeros(shape, np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    (found,) = place(ir.from_proto(model).graph)
    assert (found.node, found.op_type) == ("h", "LSTM")
    assert "no int8 LSTM" in str(found.reason)
