"""fp16 and bf16: nodes whose values the type cannot represent keep fp32; emulation on the CPU."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.calibration.autocast import autocast, float_tensors
from ocr_trt.calibration.emulate import emulated
from ocr_trt.calibration.half import BF16, FP16, HalfType
from ocr_trt.common.onnx_session import onnx_session
from tests.convert.helpers import graph


def quantized(text: str, peaks: dict[str, float], half: HalfType = FP16, **weights: Any) -> Any:
    proto = ir.to_proto(graph(f"agraph {text}", **weights))
    return autocast(proto, {**dict.fromkeys(float_tensors(proto), 1.0), **peaks}, half)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return onnx_session(model).run(None, {model.graph.input[0].name: x})[0]


TEXT = "(float[1,4,8,8] x) => (float[1,4,8,8] y)"
KEPT = [
    ("{ a = Relu(x) y = Exp(a) }", {}, {}, "y", "Exp .*fp16"),
    ("{ a = Relu(x) y = Neg(a) }", {"a": 600.0}, {}, "y", "a reaches 600.*512"),
    ("{ a = Add(x, w) y = Neg(a) }", {}, {"w": np.float32(7e4)}, "a", "w reaches 7e.04.*512"),
    ("{ a = Relu(x) y = Add(a, e) }", {}, {"e": np.float32(1e-8)}, "y", "e is 1e-08.*fp16"),
    ("{ s = ReduceSum <keepdims = 1> (x, axes) y = Add(x, s) }", {"x": 20.0},
     {"axes": np.array([2, 3])}, "s", "64 values .*1280.*512"),
    ("{ i = InstanceNormalization <epsilon = 1e-12> (x, w, w) y = Relu(i) }", {},
     {"w": np.ones(4, np.float32)}, "i", "epsilon is 1e-12.*fp16"),
    ("{ m = Greater(x, w) c = Cast <to = 1> (m) y = Mul(x, c) }", {}, {"w": np.float32(0)}, "c",
     "Cast .*output type"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "peaks", "weights", "node", "reason"), KEPT)
def test_what_fp16_cannot_hold_stays_in_fp32(
    body: str, peaks: dict, weights: dict, node: str, reason: str
) -> None:
    kept = quantized(f"{TEXT} {body}", peaks, **weights).kept
    assert node in kept
    assert re.search(reason, kept[node])


@pytest.mark.parametrize(
    ("body", "peaks", "weights", "why"),
    [
        ("{ a = Relu(x) y = Neg(a) }", {"a": 512.0}, {}, "512 is not over 512"),
        ("{ s = ReduceSum <keepdims = 1> (x, axes) y = Add(x, s) }", {"x": 5.0},
         {"axes": np.array([2, 3])}, "64 values of 5 are 320"),
        ("{ a = Relu(x) y = Add(a, e) }", {}, {"e": np.float32(1e-6)}, "fp16 has 1e-6"),
        ("{ i = LayerNormalization <epsilon = 1e-12> (x, w) y = Relu(i) }", {},
         {"w": np.ones(8, np.float32)}, "runtimes compute it in fp32 inside"),
    ],
)  # fmt: skip
def test_what_fp16_can_hold_does_not(body: str, peaks: dict, weights: dict, why: str) -> None:
    assert quantized(f"{TEXT} {body}", peaks, **weights).kept == {}, why


def test_bf16_holds_what_fp16_does_not() -> None:
    body = "{ a = Add(x, w) y = Neg(a) }"
    weights = {"w": np.float32(7e4)}
    assert set(quantized(f"{TEXT} {body}", {"a": 7e4, "y": 7e4}, **weights).kept) == {"a", "y"}
    found = quantized(f"{TEXT} {body}", {"a": 7e4, "y": 7e4}, BF16, **weights)
    assert found.kept == {}
    assert found.model.opset_import[0].version == 22, "the first with bf16 in every op"
    assert {t.data_type for t in found.model.graph.initializer} == {onnx.TensorProto.BFLOAT16}


def test_scales_of_a_resize_stay_exact(rng: np.random.Generator) -> None:
    """6/7 in fp16, times 7, is 5.9985: the image would lose a row."""
    text = "(float[1,2,7,7] x) => (float[1,2,6,6] y) { a = Relu(x) y = Resize(a, , s) }"
    found = quantized(text, {}, s=np.array([1, 1, 6 / 7, 6 / 7], np.float32))
    assert found.kept == {}
    resize = next(node for node in found.model.graph.node if node.op_type == "Resize")
    kinds = {t.name: t.data_type for t in found.model.graph.initializer}
    assert kinds[resize.input[2]] == onnx.TensorProto.FLOAT
    image = rng.uniform(0, 1, (1, 2, 7, 7)).astype(np.float32)
    assert run(emulated(found.model), image).shape == (1, 2, 6, 6)


ATTENTION = (
    "(float[1,2,5,5] x) => (float[1,2,5,5] y) { a = Add(x, mask) y = Softmax <axis = -1> (a) }"
)


@pytest.mark.parametrize("op", ["Add", "Where"])
@pytest.mark.parametrize("low", [-1e9, -np.inf, -3.4e38])
def test_masks_are_clipped_to_what_fp16_represents(
    low: float, op: str, rng: np.random.Generator
) -> None:
    mask = np.where(np.triu(np.ones((5, 5)), 1) > 0, low, 0.0).astype(np.float32)
    text = ATTENTION if op == "Add" else ATTENTION.replace("Add(x, mask)", "Where(seen, x, low)")
    weights = {"mask": mask} if op == "Add" else {"seen": mask == 0, "low": np.float32(low)}
    seen = {"x": 8.0, "a": 1e9}
    found = quantized(text, seen, **weights)
    assert found.kept == {}, "so that attention stays one kernel"
    assert "a" in quantized(text, {**seen, "x": 600.0}, **weights).kept, "its own scores count"
    proto = ir.to_proto(graph(f"agraph {text}", **weights))
    scores = rng.uniform(-8, 8, (1, 2, 5, 5)).astype(np.float32)
    exact, rounded = run(proto, scores), run(emulated(found.model), scores)
    assert (exact[..., 0, 1:] == 0).all()
    assert (rounded[..., 0, 1:] == 0).all()
    np.testing.assert_allclose(rounded, exact, atol=5e-3)


@pytest.mark.parametrize("half", [FP16, BF16], ids=["fp16", "bf16"])
def test_emulation_rounds_every_tensor_as_numpy_does(
    half: HalfType, rng: np.random.Generator
) -> None:
    text = "(float[3,8] x) => (float[3,8] y) { a = Mul(x, w) b = Sigmoid(a) y = Add(b, x) }"
    w = rng.uniform(-3, 3, 8).astype(np.float32)
    found = quantized(text, {}, half, w=w)
    x = rng.uniform(-3, 3, (3, 8)).astype(np.float32)

    def rounded(array: np.ndarray) -> np.ndarray:
        return array.astype(half.dtype.numpy()).astype(np.float32)

    a = rounded(rounded(x) * rounded(w))
    b = rounded((1 / (1 + np.exp(-a.astype(np.float64)))).astype(np.float32))
    expected = rounded(b + rounded(x))
    step = float(np.spacing(np.float16(4)) if half is FP16 else 2**-5)
    np.testing.assert_allclose(run(emulated(found.model), x), expected, atol=step)
    assert np.abs(expected - (x + 1 / (1 + np.exp(-x * w)))).max() > step / 8, "nothing was rounded"


def test_emulation_overflows_as_fp16_does() -> None:
    text = "(float[1,2] x) => (float[1,2] y) { a = Mul(x, x) y = Sqrt(a) }"
    found = quantized(text, {})  # the images were harmless
    x = np.array([[2, 300]], np.float32)
    assert run(emulated(found.model), x).tolist() == [[2, np.inf]], "300 * 300 is over 65504"


def test_graphs_without_half_types_are_left_alone() -> None:
    proto = ir.to_proto(graph("agraph (float[1,2] x) => (float[1,2] y) { y = Neg(x) }"))
    assert emulated(proto) is proto


def test_ops_of_our_own_are_rounded_inside(rng: np.random.Generator) -> None:
    from ocr_trt.plugins import max_pool_argmax_2d, max_unpool_2d
    from ocr_trt.plugins.onnx_function import add_function

    body = "{ v, p = ocr_trt.MaxPoolArgmax2d(x) y = ocr_trt.MaxUnpool2d(v, p) }"
    model = graph(f"agraph (float[1,2,4,4] x) => (float[1,2,4,4] y) {body}")
    for plugin in (max_pool_argmax_2d, max_unpool_2d):
        add_function(model, plugin.BODY)
    proto = ir.to_proto(model)
    proto.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(name, 1, (1, 2, 2, 2)) for name in "vp"
    )
    found = autocast(proto, dict.fromkeys(float_tensors(proto), 1.0))
    assert found.kept == {}
    x = rng.standard_normal((1, 2, 4, 4)).astype(np.float32)
    expected = run(proto, x.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(run(emulated(found.model), x), expected)
