"""Weight equalization and bias correction: exact in float, and a smaller error in int8."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.calibration.channels import Channels, observe_channels, read_tensors
from ocr_trt.calibration.correct_bias import correct_biases
from ocr_trt.calibration.equalize import equalize
from ocr_trt.calibration.int8_style import Int8Style
from ocr_trt.calibration.observe import observe
from ocr_trt.calibration.placement import place
from ocr_trt.calibration.quantize import quantize, quantized_tensors, quantized_weights
from ocr_trt.common.inner_tensors import with_outputs
from ocr_trt.common.input_size import InputSize
from ocr_trt.common.onnx_session import onnx_session
from tests.convert.helpers import graph

CONVS = """
    agraph (float[1,4,12,12] x) => (float[1,8,12,12] y) {
        c0 = Conv <pads = [1, 1, 1, 1]> (x, w0, b0)
        a0 = Relu(c0)
        c1 = Conv <pads = [1, 1, 1, 1]> (a0, w1, b1)
        a1 = Relu(c1)
        c2 = Conv <pads = [1, 1, 1, 1]> (a1, w2)
        y = Sigmoid(c2)
    }
"""
TOKENS = """
    agraph (float[1,1,6,16] x) => (float[1,1,6,8] y) {
        n = LayerNormalization <axis = -1> (x, g, h)
        m = MatMul(n, w1)
        a = Add(m, b1)
        t = Relu(a)
        o = MatMul(t, w2)
        s = Add(o, b2)
        p = MatMul(s, w3)
        y = Softmax <axis = -1> (p)
    }
"""


def model(kind: str) -> onnx.ModelProto:
    """Channels of very different size, as batch norms leave them."""
    rng = np.random.default_rng(5)

    def w(*shape: int, spread: int = 0) -> np.ndarray:
        array = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        sizes = np.exp2(rng.uniform(-4, 4, shape[spread]))
        spread_out = sizes.reshape(*(-1 if i == spread else 1 for i in range(len(shape))))
        return (array * spread_out).astype(np.float32)

    if kind == "convolutions":
        weights = {"w0": w(8, 4, 3, 3), "b0": w(8), "w1": w(8, 8, 3, 3), "b1": w(8),
                   "w2": w(8, 8, 3, 3)}  # fmt: skip
        text = CONVS
    else:
        weights = {"g": w(16), "h": w(16), "w1": w(16, 24, spread=1), "b1": w(24),
                   "w2": w(24, 8), "b2": w(8), "w3": w(8, 8)}  # fmt: skip
        text = TOKENS
    return ir.to_proto(graph(text, **weights))


def batches(proto: onnx.ModelProto, count: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(6)
    dims = [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim]
    return [(rng.standard_normal(dims) + 0.5).astype(np.float32) for _ in range(count)]


def size_of(proto: onnx.ModelProto) -> InputSize:
    return InputSize(*batches(proto, 1)[0].shape[2:])


def chosen(proto: onnx.ModelProto) -> set[str]:
    return {p.node for p in place(ir.from_proto(proto).graph) if p.reason is None}


def channels(proto: onnx.ModelProto, ranges: dict[str, float] | None = None) -> dict[str, Channels]:
    tensors = read_tensors(ir.from_proto(proto).graph, chosen(proto))
    return observe_channels({size_of(proto): proto}, batches(proto), tensors, ranges)


def ranges_of(proto: onnx.ModelProto) -> dict[str, float]:
    feeds = batches(proto)
    return observe(
        {size_of(proto): proto}, feeds, len(feeds), histograms=quantized_tensors(proto)
    ).peaks


def run(proto: onnx.ModelProto, name: str = "") -> np.ndarray:
    session = onnx_session(with_outputs(proto, [name]) if name else proto)
    return np.concatenate([session.run(None, {"x": x})[0] for x in batches(proto)])


def test_channel_statistics_equal_numpy() -> None:
    proto = model("convolutions")
    found, ranges = channels(proto, ranges_of(proto)), ranges_of(proto)
    tensor = run(proto, "a0")  # (6, 8, 12, 12)
    np.testing.assert_allclose(found["a0"].mean, tensor.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["a0"].peak, np.abs(tensor).max((0, 2, 3)), rtol=1e-6)
    step = ranges["a0"] / 127
    error = (np.clip(np.round(tensor / step), -128, 127) * step - tensor).mean((0, 2, 3))
    np.testing.assert_allclose(found["a0"].error, error, atol=step / 200)


@pytest.mark.parametrize("kind", ["convolutions", "transformer"])
def test_equalization_changes_no_number_in_float(kind: str) -> None:
    proto = model(kind)
    equal, changed = equalize(proto, channels(proto), chosen(proto))
    assert changed == (("a0",) if kind == "convolutions" else ("n",)), "the last layer is float"
    onnx.checker.check_model(equal, full_check=True)
    np.testing.assert_array_equal(run(equal), run(proto))


@pytest.mark.parametrize("kind", ["convolutions", "transformer"])
def test_equalization_reduces_the_int8_error(kind: str) -> None:
    proto = model(kind)
    equal, _ = equalize(proto, channels(proto), chosen(proto))
    exact, name = run(proto), "c1" if kind == "convolutions" else "m"
    exact = run(proto, name)
    before, after = (
        np.square(run(quantize(p, ranges_of(p)).model, name) - exact).sum() for p in (proto, equal)
    )
    assert after < 0.6 * before


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("a0 = Sigmoid(c0)", "a sigmoid is not homogeneous"),
        ("a0 = Relu(c0) extra = Neg(a0)", "something else reads the tensor"),
        ("t0 = Relu(c0) a0 = Add(t0, one)", "a sum is no layer"),
    ],
)
def test_tensors_that_cannot_be_scaled_stay(body: str, why: str) -> None:
    text = CONVS.replace("a0 = Relu(c0)", body)
    if "extra" in body:
        text = text.replace("y = Sigmoid(c2)", "z = Add(c2, extra) y = Sigmoid(z)")
    plain = ir.from_proto(model("convolutions"))
    weights: dict[str, Any] = {
        n: v.const_value.numpy() for n, v in plain.graph.initializers.items()
    }
    if "one" in body:
        weights["one"] = np.float32(1)
    proto = ir.to_proto(graph(text, **weights))
    _, changed = equalize(proto, channels(proto), chosen(proto))
    assert "a0" not in changed, why


@pytest.mark.parametrize("largest", [127, 63])
@pytest.mark.parametrize("kind", ["convolutions", "transformer"])
def test_bias_correction_removes_the_mean_error(kind: str, largest: int) -> None:
    proto, style = model(kind), Int8Style(largest_weight=largest)
    ranges = {name: 0.6 * limit for name, limit in ranges_of(proto).items()}  # clips: a real bias
    corrected = correct_biases(proto, channels(proto, ranges), chosen(proto), largest)
    onnx.checker.check_model(corrected, full_check=True)
    name = "c1" if kind == "convolutions" else "a"
    axes = (0, 2, 3) if kind == "convolutions" else (0, 1, 2)
    exact = run(proto, name).mean(axes)
    before, after = (
        np.abs(run(quantize(p, ranges, style).model, name).mean(axes) - exact).sum()
        for p in (proto, corrected)
    )
    assert after < 0.35 * before


def test_bias_correction_of_a_grouped_convolution_is_that_of_its_groups() -> None:
    rng = np.random.default_rng(3)
    text = """agraph (float[1,4,8,8] x) => (float[1,6,8,8] y) {
        a = Relu(x) c = Conv <group = 2> (a, w) b = Relu(c) d = Conv(b, v) y = Sigmoid(d) }"""
    weights = {"w": rng.standard_normal((6, 2, 1, 1)).astype(np.float32),
               "v": rng.standard_normal((6, 6, 1, 1)).astype(np.float32)}  # fmt: skip
    proto = ir.to_proto(graph(text, **weights))
    ranges = ranges_of(proto)
    corrected = correct_biases(proto, channels(proto, ranges), {"c"}, 127)
    node = next(n for n in corrected.graph.node if n.output[0] == "c")
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in corrected.graph.initializer}
    seen = channels(proto, ranges)["a"]
    steps, scales = quantized_weights(weights["w"], 0)
    error = (weights["w"] - steps * scales[:, None, None, None])[..., 0, 0]
    for row in range(6):
        mean = seen.mean[:2] if row < 3 else seen.mean[2:]
        extra = seen.error[:2] if row < 3 else seen.error[2:]
        rounded = steps[row, :, 0, 0] * scales[row]
        expected = error[row] @ mean - rounded @ extra
        assert arrays[node.input[2]][row] == pytest.approx(expected, abs=1e-6)
