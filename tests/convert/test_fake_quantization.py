"""Models that were quantized before: by TensorFlow in training, or by onnxruntime afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from ocr_trt.builder import BuildRequest, build
from ocr_trt.calibration.images import load_calibration
from ocr_trt.calibration.quantize import quantize, quantized_tensors, quantized_weights
from ocr_trt.common.inner_tensors import with_outputs
from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.convert.passes.lower_integer_ops import lower_integer_ops
from ocr_trt.convert.passes.remove_fake_quantization import remove_fake_quantization
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.convert.verify import verify
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import ConversionError
from ocr_trt.measure.latency import LatencySettings
from ocr_trt.spec import spec_from_dict

from .helpers import evaluated, graph, ops, traced

RNG = np.random.default_rng(6)
NET = """
    <ir_version: 10, opset_import: ["" : 18]>
    agraph (float[1,3,32,48] image) => (float[1,1,32,48] map) {
        c1 = Conv <pads = [1, 1, 1, 1]> (image, w1, b1)
        a1 = Relu(c1)
        c2 = Conv <pads = [1, 1, 1, 1]> (a1, w2, b2)
        a2 = LeakyRelu <alpha = 0.3> (c2)
        p2 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a2)
        c3 = Conv <pads = [1, 1, 1, 1]> (p2, w3, b3)
        a3 = Relu(c3)
        u3 = Resize <mode = "nearest"> (a3, , twice)
        both = Concat <axis = 1> (u3, a1)
        c4 = Conv <pads = [1, 1, 1, 1]> (both, w4, b4)
        map = Sigmoid(c4)
    }
"""


def net() -> onnx.ModelProto:
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 8, 3, 3), "w4": (1, 16, 3, 3)}
    weights = {n: RNG.normal(0, 0.2, shape) for n, shape in shapes.items()}
    weights |= {f"b{i}": RNG.normal(0, 0.1, 1 if i == 4 else 8) for i in range(1, 5)}
    weights["twice"] = np.array([1, 1, 2, 2])
    proto = onnx.parser.parse_model(NET)
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items()
    )
    return proto


class Reader:
    """onnxruntime's calibration data."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self._left = [rng.uniform(0, 1, (1, 3, 32, 48)).astype(np.float32) for _ in range(4)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return {"image": self._left.pop()} if self._left else None


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The net as it is, and as onnxruntime quantizes it in each of its ways."""
    from onnxruntime.quantization import (
        QuantFormat,
        QuantType,
        quant_pre_process,
        quantize_dynamic,
        quantize_static,
    )

    folder = tmp_path_factory.mktemp("nets")
    found = {name: folder / f"{name}.onnx" for name in
             ("float", "qdq", "symmetric", "qoperator", "dynamic")}  # fmt: skip
    onnx.save(net(), found["float"])
    quant_pre_process(str(found["float"]), str(folder / "ready.onnx"))
    ready = str(folder / "ready.onnx")
    symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True}
    usual: dict[str, Any] = {"activation_type": QuantType.QUInt8}
    signed = {
        "activation_type": QuantType.QInt8, "per_channel": True, "extra_options": symmetric,
    }  # fmt: skip
    qdq, qoperator = QuantFormat.QDQ, QuantFormat.QOperator
    for name, form, options in (
        ("qdq", qdq, usual), ("symmetric", qdq, signed), ("qoperator", qoperator, usual)
    ):  # fmt: skip
        quantize_static(ready, str(found[name]), Reader(), quant_format=form, **options)
    unsigned = QuantType.QUInt8
    quantize_dynamic(
        ready, str(found["dynamic"]), op_types_to_quantize=["Conv"], weight_type=unsigned
    )
    return found


def spec_of(path: Path) -> Any:
    return spec_from_dict(
        {
            "name": "m", "role": "detector", "source": {"path": path},
            "input": {"name": "image", "shape": [1, 3, 32, 48], "layout": "NCHW"},
            "output": {"name": "map"},
        }
    )  # fmt: skip


def noise(exact: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(np.var(exact) / np.square(exact - other).mean()))


@pytest.mark.parametrize("kind", ["qdq", "symmetric", "qoperator", "dynamic"])
def test_file_quantized_by_onnxruntime_becomes_float(
    kind: str, files: dict[str, Path], rng: np.random.Generator
) -> None:
    spec = spec_of(files[kind])
    found = convert(open_source(spec.source), spec)
    clean = convert(open_source(spec_of(files["float"]).source), spec_of(files["float"]))
    assert not [op for op in found.ops if "Linear" in op or "Integer" in op]
    ours, theirs = (sum(o.values()) - o["Clip"] - o["Relu"] for o in (found.ops, clean.ops))
    assert ours == theirs, "no pair was in the way of a rule"
    activations = found.ops["Clip"] + found.ops["Relu"]
    assert activations == clean.ops["Relu"], "onnxruntime lets its pairs be them; they are back"
    image = rng.uniform(0, 1, (1, 3, 32, 48)).astype(np.float32)
    exact, ours = (runner_from_model(m.model, label="x", max_batch=1).run(image)
                   for m in (clean, found))  # fmt: skip
    theirs = onnx_session(str(files[kind])).run(None, {"image": image})[0]
    assert noise(exact, ours) > 25, "its weights are rounded, and nothing else"
    assert noise(exact, ours) < 80
    assert noise(theirs, ours) > 18, "and it is that file"


@pytest.mark.parametrize("kind", ["qdq", "symmetric", "qoperator"])
def test_ranges_of_a_quantized_file_are_kept(kind: str, files: dict[str, Path]) -> None:
    spec = spec_of(files[kind])
    found = convert(open_source(spec.source), spec)
    expected = quantized_tensors(found.model)
    assert len(expected) == 2
    assert set(expected) <= set(found.ranges)
    peaks = dict.fromkeys(expected, 0.0)
    reader = Reader()
    while (feed := reader.get_next()) is not None:
        session = onnx_session(_with(found.model, expected))
        for name, value in zip(expected, session.run(expected, feed), strict=True):
            peaks[name] = max(peaks[name], float(np.abs(value).max()))
    for name in expected:
        assert found.ranges[name] == pytest.approx(peaks[name], rel=0.05), "min-max of its data"
    quantized = quantize(found.model, found.ranges).model
    image = np.random.default_rng(9).uniform(0, 1, (1, 3, 32, 48)).astype(np.float32)
    theirs = onnx_session(str(files[kind])).run(None, {"image": image})[0]
    ours = onnx_session(quantized).run(None, {"image": image})[0]
    assert noise(theirs, ours) > 18


def _with(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    return with_outputs(model, names)


@pytest.mark.parametrize("kind", ["per tensor", "per channel"])
def test_model_trained_with_fake_quantization_keeps_its_grid(kind: str, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    fake, v1 = tf.quantization, tf.compat.v1
    kernels = {
        name: np.random.default_rng(i).normal(0, 0.2, shape).astype(np.float32)
        for i, (name, shape) in enumerate(
            {"k1": (3, 3, 3, 8), "k2": (3, 3, 8, 8), "k3": (1, 1, 8, 1)}.items()
        )
    }

    def rounded(kernel: np.ndarray) -> Any:
        if kind == "per tensor":
            peak = float(np.abs(kernel).max())
            return fake.fake_quant_with_min_max_args(kernel, -peak, peak, narrow_range=True)
        peaks = np.abs(kernel).max((0, 1, 2))
        return fake.fake_quant_with_min_max_vars_per_channel(
            kernel, -peaks, peaks, narrow_range=True
        )

    with v1.Graph().as_default() as made:
        x = v1.placeholder("float32", [1, 32, 48, 3], name="image")
        x = tf.nn.relu6(tf.nn.conv2d(x, rounded(kernels["k1"]), 1, "SAME"))
        x = fake.fake_quant_with_min_max_vars(x, 0.0, 6.0)
        x = tf.nn.conv2d(x, rounded(kernels["k2"]), 1, "SAME") * np.linspace(1, 2, 8, dtype="f")
        x = fake.fake_quant_with_min_max_vars(tf.nn.leaky_relu(x, 0.5), -1.5, 3.0)
        x = tf.sigmoid(tf.nn.conv2d(x, rounded(kernels["k3"]), 1, "SAME"), name="map")
    (tmp_path / "qat.pb").write_bytes(made.as_graph_def().SerializeToString())
    spec = spec_from_dict(
        {
            "name": "m", "role": "detector", "source": {"path": tmp_path / "qat.pb"},
            "input": {"name": "image", "shape": [1, 32, 48, 3]}, "output": {"name": "map"},
        }
    )  # fmt: skip
    source = open_source(spec.source)
    found = convert(source, spec)
    (tensor,) = quantized_tensors(found.model)
    assert found.ranges[tensor] == pytest.approx(6.0, rel=1e-3)
    reasons = {s.reason for step in found.steps for s in step.outcome.skipped
            if step.name == remove_fake_quantization.__name__}  # fmt: skip
    assert any("0 to 6 became -6 to 6" in reason for reason in reasons)
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in found.model.graph.initializer}
    convs = [node for node in found.model.graph.node if node.op_type == "Conv"]
    for node in convs[:2]:
        weights = arrays[node.input[1]]
        steps, scales = quantized_weights(weights, 0)
        back = steps * scales[:, None, None, None]
        np.testing.assert_allclose(back, weights, atol=2e-6), "though a scale was folded in"
    image = np.random.default_rng(2).uniform(0, 1, (1, 32, 48, 3)).astype(np.float32)
    exact = source.function("image", "map")(tf.constant(image)).numpy()
    quantized = quantize(found.model, found.ranges).model
    held = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    ours = onnx_session(quantized).run(None, {"image": held})[0].transpose(0, 2, 3, 1)
    assert noise(exact, ours) > 20


def test_verify_compares_with_the_model_without_its_rounding(files: dict[str, Path]) -> None:
    spec = spec_of(files["qdq"])
    source = open_source(spec.source)
    checks = verify(source, spec, baseline_runner(source, spec).run)
    # Up to the pass that removes the rounding.
    before = [check.name for check in checks if check.rounds]
    assert before == ["export", "settle_loop_types"]
    assert all(check.difference < 1e-5 for check in checks if not check.rounds)


def test_quantized_file_becomes_an_engine(
    files: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    """With the ranges of the file: the method has no influence."""
    spec = spec_of(files["qdq"])
    budget = spec.accuracy.model_copy(update={"max_loss": 100.0})
    spec = spec.model_copy(update={"accuracy": budget})
    found = []
    for method in ("minmax", "mse"):
        request = BuildRequest(
            spec=spec, targets=("onnxruntime",), precision="int8", output=tmp_path / method,
            method=method, calibration=load_calibration(images, spec),
            latency=LatencySettings(warm_up_ms=1, duration_s=0.01, iterations=3),
        )  # fmt: skip
        (result,) = build(request)
        assert result.error is None
        assert result.bundle is not None
        found.append(result.bundle.manifest.calibration)
    assert found[0] is not None
    assert found[0].own_ranges == len(found[0].ranges) == 2
    assert found[0].ranges == found[1].ranges


REFUSED = [
    ("m = ReduceMax <keepdims = 0> (x) q = QuantizeLinear(x, m, z) y = DequantizeLinear(q, m, z)",
     {"z": np.int8(0)}, "x depends on the image"),
    ("q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)",
     {"s": np.float32(-1), "z": np.int8(0)}, "scale of x is .*-1.* expected above 0"),
    ("q = QuantizeLinear <axis = 1> (x, s, z) y = DequantizeLinear <axis = 1> (q, s, z)",
     {"s": np.ones(3, np.float32), "z": np.zeros(3, np.int8)}, "x is quantized with a scale per"),
    ("q = QuantizeLinear(x, s, z) c = Cast <to = 1> (q) d = DequantizeLinear(q, s, z) "
     "y = Add(c, d)", {"s": np.float32(1), "z": np.int8(0)}, "Cast at .* computes on the integers"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "weights", "message"), REFUSED, ids=["data", "negative", "axis", "ints"]
)
def test_invalid_pairs_are_refused_by_name(body: str, weights: dict, message: str) -> None:
    model = graph(f"agraph (float[1,3,4,4] x) => (float[1,3,4,4] y) {{ {body} }}", **weights)
    with pytest.raises(ConversionError, match=message):
        remove_fake_quantization(model)


@pytest.mark.parametrize(
    ("zero", "scale", "limit", "note"),
    [
        (np.int8(0), 0.1, 12.7, ""),
        (np.uint8(128), 0.1, 12.7, ""),
        (np.uint8(0), 0.1, 25.5, "its range 0 to 25.5 became -25.5 to 25.5"),
        (np.int8(-128), 0.1, 25.5, "its range 0 to 25.5 became -25.5 to 25.5"),
        (np.uint8(200), 0.1, 20.0, "its range -20 to 5.5 became -20 to 20"),
        (np.uint16(32768), 0.001, 32.767, ""),
    ],
)
def test_asymmetric_ranges_are_made_symmetric(
    zero: Any, scale: float, limit: float, note: str
) -> None:
    text = """agraph (float[1,3,4,4] x) => (float[1,3,4,4] y) {
        a = Relu(x) q = QuantizeLinear(a, s, z) d = DequantizeLinear(q, s, z) y = Neg(d) }"""
    model = graph(text, s=np.float32(scale), z=zero)
    found = remove_fake_quantization(model)
    assert found.changed == 2
    assert found.ranges == {"a": pytest.approx(limit)}
    assert [skip.reason for skip in found.skipped] == ([note] if note else [])
    assert ops(model) == {"Relu": 1, "Neg": 1}


@pytest.mark.parametrize(
    ("body", "clips", "why"),
    [
        ("a = Neg(x)", 1, "a Q that cuts off at 0 is a Relu"),
        ("a = Relu(x)", 0, "there is one already"),
        (
            "r = Relu(x) t = Reshape(r, to) a = Concat <axis = 1> (t, t)",
            0,
            "nor behind views of one",
        ),
        ("r = Relu(x) t = Neg(x) a = Concat <axis = 1> (r, t)", 1, "one part may be negative"),
        # Behind another node: onnxruntime before 1.24 cannot open a Clip of the graph's input.
        ("n = Neg(x) a = Clip(n, low, high)", 0, "a Clip from 0 on"),
        ("n = Neg(x) a = Clip(n, under, high)", 1, "a Clip from below 0 on"),
    ],
)
def test_clip_that_a_pair_implies_is_kept(
    body: str, clips: int, why: str, rng: np.random.Generator
) -> None:
    rest = "q = QuantizeLinear(a, s, z) d = DequantizeLinear(q, s, z) y = Neg(d)"
    model = graph(
        f"agraph (float[1,3,4,4] x) => (float[1,c,4,4] y) {{ {body} {rest} }}",
        s=np.float32(0.01), z=np.uint8(0), low=np.float32(0), high=np.float32(6),
        under=np.float32(-6), to=np.array([1, 3, 4, 4]),
    )  # fmt: skip
    before = ops(model)["Clip"]
    x = rng.standard_normal((1, 3, 4, 4)).astype(np.float32)
    exact = onnx_session(ir.to_proto(model)).run(None, {"x": x})[0]
    remove_fake_quantization(model)
    assert ops(model)["Clip"] - before == clips, why
    ours = onnx_session(ir.to_proto(model)).run(None, {"x": x})[0]
    np.testing.assert_allclose(np.clip(ours, -2.55, 0), exact, atol=0.0051)


def test_float_models_are_left_alone() -> None:
    model = graph("agraph (float[1,3,4,4] x) => (float[1,3,4,4] y) { y = Relu(x) }")
    assert remove_fake_quantization(model).changed == 0
    assert lower_integer_ops(model).changed == 0


def test_product_of_integers_equals_the_float_product(rng: np.random.Generator) -> None:
    text = """agraph (float[3,5] x) => (float[3,4] y) {
        q, s, z = DynamicQuantizeLinear(x) p = MatMulInteger(q, w, z, wz) c = Cast <to = 1> (p)
        t = Mul(s, ws) m = Mul(c, t) y = Relu(m) }"""
    w = rng.integers(0, 255, (5, 4)).astype(np.uint8)
    model = graph(text, w=w, wz=np.uint8(120), ws=np.float32(0.01))
    assert lower_integer_ops(model).changed == 2
    x = rng.standard_normal((3, 5)).astype(np.float32)
    expected = np.maximum(x @ ((w.astype(np.float32) - 120) * 0.01), 0)
    assert expected.max() > 0.1
    found = onnx_session(ir.to_proto(model)).run(None, {"x": x})[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def along_axis(x: Any) -> Any:
    import tensorflow as tf

    # The only version whose kernel accepts a range per channel.
    return tf.raw_ops.QuantizeAndDequantizeV3(
        input=x, input_min=[-1.0, -0.1, -6.0], input_max=[1.0, 6.0, 0.5], num_bits=8, axis=3
    )


FAKES: dict[str, Callable[[Any, Any], Any]] = {
    "10 bits": lambda q, x: q.fake_quant_with_min_max_args(x, -6.0, 6.0, 10),
    "2 bits": lambda q, x: q.fake_quant_with_min_max_vars(x, -1.0, 3.0, 2),
    "16 bits, narrow": lambda q, x: q.fake_quant_with_min_max_args(x, -0.3, 0.1, 16, True),
    "above 0": lambda q, x: q.fake_quant_with_min_max_vars(x, 1.0, 3.0, 7),
    "below 0": lambda q, x: q.fake_quant_with_min_max_args(x, -3.0, -1.0, 7),
    "no extent": lambda q, x: q.fake_quant_with_min_max_vars(x, 0.0, 0.0, 4) + x,
    "per channel": lambda q, x: q.fake_quant_with_min_max_vars_per_channel(
        x, [-1.0, 0.0, -6.0], [1.0, 6.0, 0.5], 8, True
    ),
    "signed": lambda q, x: q.quantize_and_dequantize_v2(
        x, -1.5, 3.0, num_bits=5, range_given=True, round_mode="HALF_UP"
    ),
    "unsigned": lambda q, x: q.quantize_and_dequantize_v2(
        x, 0.0, 3.0, signed_input=False, num_bits=12, range_given=True
    ),
    "along an axis": lambda q, x: along_axis(x),
    "constant of 8 bits": lambda q, x: x * q.fake_quant_with_min_max_vars(
        np.float32([0.1, -0.7, 0.33]), -1.0, 1.0, 8, True
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAKES)
def test_other_fake_quantization_has_the_levels_of_tensorflow(
    name: str, rng: np.random.Generator
) -> None:
    tf = pytest.importorskip("tensorflow")
    x = rng.normal(0, 3, (2, 5, 6, 3)).astype(np.float32)
    model = traced(lambda image: FAKES[name](tf.quantization, image) * 2.0, x.shape)
    assert not [op for op in ops(model) if "Linear" in op]
    expected = (FAKES[name](tf.quantization, tf.constant(x)) * 2.0).numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(evaluated(model, x), expected, atol=2e-6)


def test_narrow_range_of_8_bits_states_its_range() -> None:
    tf = pytest.importorskip("tensorflow")
    fake = tf.quantization.fake_quant_with_min_max_args
    model = traced(lambda x: fake(tf.tanh(x), -1.0, 1.0, narrow_range=True) * 2.0, (2, 5))
    (limit,) = remove_fake_quantization(model).ranges.values()
    assert limit == pytest.approx(1.0, rel=1e-6)


def test_range_computed_from_the_image_is_refused_by_name() -> None:
    tf = pytest.importorskip("tensorflow")
    fake = tf.quantization.fake_quant_with_min_max_vars
    with pytest.raises(
        ConversionError, match=r"FakeQuantWithMinMaxVars at .* depends on the image"
    ):
        traced(lambda x: fake(x, -1.0, tf.reduce_max(x), num_bits=8), (2, 5))
