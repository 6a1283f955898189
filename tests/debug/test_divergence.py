"""The culprit: the tests damage one step, which must be detected."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from ocr_trt.calibration.autocast import autocast, float_tensors
from ocr_trt.calibration.dequantize import float_graph
from ocr_trt.calibration.half import FP16
from ocr_trt.calibration.int8_style import Int8Style
from ocr_trt.calibration.quantize import quantize, quantized_tensors
from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.debug.divergence import culprit_of, decibels, step_rows, target_culprit
from ocr_trt.debug.repair import repaired
from ocr_trt.debug.steps import GraphPair
from ocr_trt.debug.tracing import Tracer

GRAPH = """<ir_version: 10, opset_import: ["" : 20]>
agraph (float[1,8,16,16] x) => (float[1,8,16,16] y)
{ a = Conv<pads = [1, 1, 1, 1]>(x, wa)
  net_block1_Relu = Relu(a)
  b = Conv<pads = [1, 1, 1, 1]>(net_block1_Relu, wb)
  net_block2_Relu = Relu(b)
  c = Conv<pads = [1, 1, 1, 1]>(net_block2_Relu, wc)
  s = Add(c, net_block1_Relu)
  net_block3_Relu = Relu(s)
  d = Conv<pads = [1, 1, 1, 1]>(net_block3_Relu, wd)
  y = Sigmoid(d) }"""
EVERYWHERE = Int8Style(everywhere=True)


@pytest.fixture
def model(rng: np.random.Generator) -> onnx.ModelProto:
    result = onnx.parser.parse_model(GRAPH)
    for name in ("wa", "wb", "wc", "wd"):
        weights = rng.normal(0, 0.2, (8, 8, 3, 3)).astype(np.float32)
        result.graph.initializer.append(numpy_helper.from_array(weights, name))
    text = result.SerializeToString()
    for name in (b"net_block1_Relu", b"net_block2_Relu", b"net_block3_Relu"):
        text = text.replace(name, name.replace(b"_", b"/"))  # TensorFlow's; the parser has no slash
    return onnx.shape_inference.infer_shapes(onnx.load_from_string(text))


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-1, 1, (1, 8, 16, 16)).astype(np.float32)


def peaks(model: onnx.ModelProto, image: np.ndarray) -> dict[str, float]:
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    names = [name for name in float_tensors(model) if name != "x"]
    del watched.graph.output[:]
    watched.graph.output.extend(map(onnx.helper.make_empty_tensor_value_info, names))
    values = onnx_session(watched).run(names, {"x": image})
    result = {n: float(np.abs(v).max()) for n, v in zip(names, values, strict=True)}
    return {**result, "x": float(np.abs(image).max())}


def int8(model: onnx.ModelProto, image: np.ndarray) -> onnx.ModelProto:
    largest = peaks(model, image)
    ranges = {n: largest[n] for n in quantized_tensors(model, everywhere=True)}
    return quantize(model, ranges, EVERYWHERE).model


def spoil(
    model: onnx.ModelProto, prefix: str, change: Callable[[np.ndarray], np.ndarray]
) -> onnx.ModelProto:
    """Return a copy in which the initializer whose name begins with ``prefix`` is changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (tensor,) = (t for t in copy.graph.initializer if t.name.startswith(prefix))
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(change(array).astype(array.dtype), tensor.name))
    return copy


def judged(reference: onnx.ModelProto, quantized: onnx.ModelProto, image: np.ndarray):
    pair = GraphPair(reference, quantized)
    rows = step_rows(pair.steps, Tracer(pair).measure(image), {})
    return pair, rows, culprit_of(rows)


@pytest.mark.parametrize(
    ("prefix", "factor", "cause", "why"),
    [
        ("net/block2/Relu.scale", 1 / 16, "clipped", "a scale too small for its tensor"),
        ("net/block2/Relu.scale", 64, "coarse", "a scale too large for its tensor"),
        ("wc.axis0.scale", 3, "weights", "weights that are no longer the model's"),
    ],
)
def test_wrong_scale_is_the_culprit(
    model: onnx.ModelProto, image: np.ndarray, prefix: str, factor: float, cause: str, why: str
) -> None:
    wrong = spoil(int8(model, image), prefix, lambda scale: scale * factor)
    pair, rows, culprit = judged(model, wrong, image)
    assert culprit is not None
    assert (culprit.step.name, culprit.step.op, culprit.cause) == ("c", "Conv", cause), why
    assert culprit.stands_out
    assert culprit.step.layer == "before block3"
    sound = [row.own for row in rows if row.name != "c" and row.own is not None]
    assert min(sound) > 28, "the other steps are as they were"
    step = next(step for step in pair.steps if step.name == "c")
    fixed = repaired(pair, step)
    exact, spoiled, fixed_output = (
        onnx_session(each).run(None, {"x": image})[0] for each in (model, wrong, fixed)
    )
    assert np.abs(fixed_output - exact).mean() < 0.25 * np.abs(spoiled - exact).mean()


def test_sound_int8_has_no_step_that_stands_out(model: onnx.ModelProto, image: np.ndarray) -> None:
    _, rows, culprit = judged(model, int8(model, image), image)
    assert culprit is not None
    assert not culprit.stands_out
    assert culprit.step.own == min(row.own for row in rows if row.own is not None)


def test_equal_graphs_have_no_culprit(model: onnx.ModelProto, image: np.ndarray) -> None:
    quantized = int8(model, image)
    for graph in (model, quantized):
        _, rows, culprit = judged(graph, graph, image)
        assert culprit is None
        assert [row.own for row in rows] == [None] * len(rows)
        assert len(rows) == 9


def test_wrong_fp32_weight_is_the_culprit(model: onnx.ModelProto, image: np.ndarray) -> None:
    wrong = spoil(model, "wb", lambda weights: np.where(weights == weights.max(), 20, weights))
    _, _, culprit = judged(model, wrong, image)
    assert culprit is not None
    assert (culprit.step.name, culprit.cause, culprit.stands_out) == ("b", "weights", True)


def test_fp16_overflow_is_the_culprit(model: onnx.ModelProto, image: np.ndarray) -> None:
    large = spoil(model, "wa", lambda weights: weights * 2**9)
    large = spoil(large, "wb", lambda weights: weights * 2**9)
    unseen = dict.fromkeys(float_tensors(large), 1.0)  # calibration that saw nothing of it
    quantized = autocast(large, unseen, FP16).model
    _, _, culprit = judged(large, quantized, image)
    assert culprit is not None
    assert (culprit.step.name, culprit.cause, culprit.stands_out) == ("b", "overflow", True)
    assert 0 < culprit.step.bad <= 1
    _, _, kept = judged(large, autocast(large, peaks(large, image), FP16).model, image)
    assert kept is None, "what calibration saw beyond 512 stays in fp32"


def test_op_that_differs_from_the_model_is_the_culprit(
    model: onnx.ModelProto, image: np.ndarray
) -> None:
    wrong = onnx.ModelProto()
    wrong.CopyFrom(model)
    node = next(n for n in wrong.graph.node if "net/block2/Relu" in n.output)
    node.op_type = "Abs"
    _, _, culprit = judged(model, wrong, image)
    assert culprit is not None
    assert (culprit.step.name, culprit.cause) == ("net/block2/Relu", "op")


def test_measures_are_those_of_numpy(model: onnx.ModelProto, image: np.ndarray) -> None:
    quantized = int8(model, image)
    pair, rows, _ = judged(model, quantized, image)
    exact, rounded = (onnx_session(each).run(None, {"x": image})[0] for each in (model, quantized))
    row = next(row for row in rows if row.name == "y")
    expected = 10 * np.log10(
        np.square(exact - exact.mean()).sum() / np.square(exact - rounded).sum()
    )
    assert row.accumulated == pytest.approx(expected, abs=0.05)
    assert row.own is None, "a Sigmoid on exact inputs is exact"
    assert [step.reads for step in pair.steps if step.name == "s"] == [("c", "net/block1/Relu")]


def test_dequantized_reference_shows_the_rounding_of_tensors(
    model: onnx.ModelProto, image: np.ndarray
) -> None:
    wrong = spoil(int8(model, image), "net/block2/Relu.scale", lambda scale: scale / 16)
    plain = float_graph(wrong)
    assert {node.op_type for node in plain.graph.node} == {"Conv", "Relu", "Add", "Sigmoid"}
    _, _, culprit = judged(plain, wrong, image)
    assert culprit is not None
    assert (culprit.step.name, culprit.stands_out) == ("c", True)
    half = autocast(model, peaks(model, image), FP16).model
    exact, plain_half = (
        onnx_session(each).run(None, {"x": image})[0] for each in (model, float_graph(half))
    )
    np.testing.assert_allclose(plain_half, exact, rtol=0, atol=5e-3)


def test_culprit_of_a_target_is_the_first_tensor_that_differs(
    model: onnx.ModelProto, image: np.ndarray
) -> None:
    pair = GraphPair(model, int8(model, image))
    measured = Tracer(pair).measure(image)
    clean = {step.name: 40.0 for step in pair.steps}
    behind = dict.fromkeys(("c", "s", "net/block3/Relu", "d", "y"), 5.0)
    result = target_culprit(pair.steps, step_rows(pair.steps, measured, clean | behind))
    assert result is not None
    assert (result.step.name, result.cause, result.stands_out) == ("c", "target", True)
    assert target_culprit(pair.steps, step_rows(pair.steps, measured, {})) is None


@pytest.mark.parametrize(
    ("signal", "noise", "expected", "why"),
    [
        (1.0, 0.01, 20.0, "ten times the logarithm"),
        (1.0, 0.0, None, "no noise"),
        (1.0, float("inf"), -99.0, "infinite values"),
        (1.0, float("nan"), -99.0, "no numbers"),
        (0.0, 1.0, -99.0, "noise where there was nothing"),
    ],
)
def test_decibels(signal: float, noise: float, expected: float | None, why: str) -> None:
    assert decibels(signal, noise) == pytest.approx(expected), why
