"""Quantized and mixed-precision graphs are valid and close to float; all targets accept them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from ocr_trt.calibration.autocast import autocast, float_tensors
from ocr_trt.calibration.half import FP16
from ocr_trt.calibration.int8_style import Int8Style
from ocr_trt.calibration.observe import observe
from ocr_trt.calibration.placement import place
from ocr_trt.calibration.quantize import quantize, quantized_weights
from ocr_trt.common.input_size import InputSize
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.spec import DetectorSpec, RecognizerSpec
from tests.convert.helpers import graph

pytest.importorskip("tensorflow")

SHAPES = {"detector": (1, 3, 64, 96), "recognizer": (2, 1, 32, 64)}


@pytest.fixture(scope="module", params=["detector", "recognizer"])
def clean(
    request: pytest.FixtureRequest, detector_spec: DetectorSpec, recognizer_spec: RecognizerSpec
) -> tuple[onnx.ModelProto, list[np.ndarray]]:
    """A converted model, and batches for it."""
    spec = detector_spec if request.param == "detector" else recognizer_spec
    rng = np.random.default_rng(9)
    batches = [rng.uniform(-1, 1, SHAPES[request.param]).astype(np.float32) for _ in range(4)]
    return convert(open_source(spec.source), spec).model, batches


def run(model: onnx.ModelProto, batch: np.ndarray) -> np.ndarray:
    return runner_from_model(model, label="x", max_batch=4).run(batch)


def sqnr(reference: np.ndarray, other: np.ndarray) -> float:
    """Signal to quantization noise in decibels."""
    centered = reference - reference.mean()
    return float(10 * np.log10((centered**2).sum() / ((reference - other) ** 2).sum()))


def quantized_model(
    clean: tuple[onnx.ModelProto, list[np.ndarray]], largest_weight: int = 127
) -> onnx.ModelProto:
    model, batches = clean
    style = Int8Style(largest_weight=largest_weight)
    return quantize(model, peaks_of(model, batches), style).model


def peaks_of(model: onnx.ModelProto, batches: list[np.ndarray]) -> dict[str, float]:
    names = float_tensors(model)
    size = InputSize(*batches[0].shape[2:])
    return observe({size: model}, batches, len(batches), histograms=[], peaks=names).peaks


def test_int8_graph_stays_close_to_float(clean: tuple[onnx.ModelProto, list[np.ndarray]]) -> None:
    model, batches = clean
    noise = sqnr(run(model, batches[0]), run(quantized_model(clean), batches[0]))
    assert noise > 20
    assert noise < 80, "nothing was rounded"


def test_q_and_dq_follow_the_rules(clean: tuple[onnx.ModelProto, list[np.ndarray]]) -> None:
    quantized = quantized_model(clean)
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in quantized.graph.initializer}
    makers = {name: node for node in quantized.graph.node for name in node.output}
    pairs = [n for n in quantized.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        scale, zero = weights[node.input[1]], weights[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
        assert (scale > 0).all()
        assert scale.shape == zero.shape
        is_weight = node.input[0] in weights
        assert scale.ndim == (1 if is_weight else 0)
    for node in quantized.graph.node:
        if node.op_type not in ("Conv", "MatMul") or node.input[1] in weights:
            continue
        above = [makers.get(name) for name in node.input[:2]]
        kinds = [n.op_type if n is not None else None for n in above]
        assert kinds.count("DequantizeLinear") in (0, 2), "both inputs or none"
        assert all(weights[name].dtype == np.float32 for name in node.input[2:])


@pytest.mark.parametrize("largest", [127, 63])
def test_weights_are_quantized_per_channel_and_come_back(
    largest: int, rng: np.random.Generator
) -> None:
    weights = rng.standard_normal((6, 4, 3, 3)).astype(np.float32) * np.logspace(-3, 2, 6)[
        :, None, None, None
    ].astype(np.float32)
    weights[2] = 0
    steps, scales = quantized_weights(weights, 0, largest)
    assert steps.dtype == np.int8
    assert np.abs(steps).max() == largest
    assert scales.shape == (6,)
    assert (scales > 0).all()
    back = steps * scales[:, None, None, None]
    assert (np.abs(back - weights) <= 0.5001 * scales[:, None, None, None]).all()


PLACES = """
    agraph (float[1,3,8,8] image) => (float[1,16,8,8] y) {
        first = Conv <pads = [1, 1, 1, 1]> (image, w1)
        r = Relu(first)
        second = Conv <pads = [1, 1, 1, 1]> (r, w2)
        up = ConvTranspose <strides = [2, 2]> (second, w3)
        down = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (up)
        flat = Reshape(down, to)
        turned = Transpose <perm = [0, 2, 1]> (flat)
        core = MatMul(flat, turned)
        back = MatMul(core, flat)
        again = Reshape(back, shape)
        last = Conv <pads = [1, 1, 1, 1]> (again, w4)
        y = Sigmoid(last)
    }
"""


def test_placement_reports_why_an_op_stays_in_float() -> None:
    def weights(*shape: int) -> np.ndarray:
        return np.ones(shape, np.float32)

    model = graph(
        PLACES,
        w1=weights(16, 3, 3, 3), w2=weights(16, 16, 3, 3), w3=weights(16, 16, 2, 2),
        w4=weights(16, 16, 3, 3), to=np.array([1, 16, 64]), shape=np.array([1, 16, 8, 8]),
    )  # fmt: skip
    reasons = {p.node: p.reason for p in place(model.graph)}
    assert reasons["second"] is None
    assert "first layer" in str(reasons["first"])
    assert "no int8 deconvolution" in str(reasons["up"])
    assert "attention core" in str(reasons["core"])
    assert "attention core" in str(reasons["back"])
    assert "last layer" in str(reasons["last"])


def test_missing_range_is_an_error(clean: tuple[onnx.ModelProto, list[np.ndarray]]) -> None:
    with pytest.raises(KeyError):
        quantize(clean[0], {})


def test_fp16_graph_stays_closer_than_int8(
    clean: tuple[onnx.ModelProto, list[np.ndarray]],
) -> None:
    model, batches = clean
    cast = autocast(model, peaks_of(model, batches))
    assert cast.kept == {}
    types = {t.data_type for t in cast.model.graph.initializer}
    assert onnx.TensorProto.FLOAT not in types
    assert cast.model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    noise = sqnr(run(model, batches[0]), run(cast.model, batches[0]))
    assert 40 < noise < 120


def test_what_fp16_cannot_hold_stays_in_fp32(
    clean: tuple[onnx.ModelProto, list[np.ndarray]],
) -> None:
    model, batches = clean
    ranges = peaks_of(model, batches)
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    cast = autocast(model, {**ranges, conv.output[0]: 2 * FP16.limit})
    assert conv.output[0] in cast.kept
    assert f"{conv.output[0]} reaches 1024" in cast.kept[conv.output[0]]
    assert sqnr(run(model, batches[0]), run(cast.model, batches[0])) > 40


def test_weight_that_fp16_cannot_hold_keeps_its_node() -> None:
    model = graph(
        "agraph (float[1,4] x) => (float[1,4] y) { a = Relu(x) b = Mul(a, big) y = Mul(b, small) }",
        big=np.float32(1e6), small=np.float32(1e-6),
    )  # fmt: skip
    import onnx_ir as ir

    proto = ir.to_proto(model)
    cast = autocast(proto, {"x": 1.0, "a": 1.0, "b": 100.0, "y": 1.0})
    assert set(cast.kept) == {"b"}
    assert cast.model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_cast_to_float_stays_in_fp32() -> None:
    import onnx_ir as ir

    model = graph(
        "agraph (float[1,4] x) => (float[1,4] y) "
        "{ a = Relu(x) m = Greater(a, zero) c = Cast <to = 1> (m) b = Mul(a, c) y = Relu(b) }",
        zero=np.float32(0),
    )  # fmt: skip
    cast = autocast(ir.to_proto(model), dict.fromkeys("xabcy", 1.0))
    assert list(cast.kept) == ["c"]
    assert "Cast" in cast.kept["c"]
    image = np.float32([[-1, 0, 0.5, 2]])
    assert run(cast.model, image).tolist() == [[0, 0, 0.5, 2]]


def test_weight_that_two_ops_share_is_quantized_once() -> None:
    import onnx_ir as ir

    model = graph(
        "agraph (float[1,4,8,8] x) => (float[1,4,8,8] y) {"
        " first = Conv <pads = [1, 1, 1, 1]> (x, w) a = Relu(first)"
        " second = Conv <pads = [1, 1, 1, 1]> (a, w) b = Relu(second)"
        " third = Conv <pads = [1, 1, 1, 1]> (b, w) c = Relu(third)"
        " last = Conv <pads = [1, 1, 1, 1]> (c, w) y = Sigmoid(last) }",
        w=np.random.default_rng(3).standard_normal((4, 4, 3, 3)).astype(np.float32) / 6,
    )
    proto = ir.to_proto(model)
    image = np.random.default_rng(4).standard_normal((1, 4, 8, 8)).astype(np.float32)
    quantized = quantize(proto, peaks_of(proto, [image])).model
    assert sum(t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4
               for t in quantized.graph.initializer) == 1  # fmt: skip
    assert sqnr(run(proto, image), run(quantized, image)) > 20


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize(
    "capability",
    [
        pytest.param("8.6", marks=pytest.mark.full),
        "8.9",
        pytest.param("12.0", marks=pytest.mark.full),
    ],
)
def test_nvidias_builder_accepts_every_precision(
    clean: tuple[onnx.ModelProto, list[np.ndarray]], precision: str, capability: str, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    from ocr_trt.engines.base import BuildSettings
    from ocr_trt.engines.targets import backend

    model, batches = clean
    if precision == "int8":
        model = quantized_model(clean)
    elif precision == "fp16":
        model = autocast(model, peaks_of(model, batches)).model
    plan = tmp_path / "plan"
    settings = BuildSettings(max_batch=4, options={"compute-capability": capability})
    backend("tensorrt-rtx").build(model, plan, settings)
    assert plan.stat().st_size > 10_000


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_int8_kernels_compute_the_numbers_of_the_graph(
    name: str, clean: tuple[onnx.ModelProto, list[np.ndarray]], tmp_path: Path
) -> None:
    from ocr_trt.engines.base import BuildSettings, RunSettings
    from ocr_trt.engines.targets import backend

    model, batches = clean
    target = backend(name)
    quantized = quantized_model(clean, target.needs().style.largest_weight)
    plan = tmp_path / f"plan{target.suffix}"
    target.build(quantized, plan, BuildSettings(max_batch=4))
    with target.open(plan, label="x", settings=RunSettings(), max_batch=4) as runner:
        found = runner.run(batches[0])
    reference = run(quantized, batches[0])
    assert sqnr(reference, found) > 25
    assert sqnr(run(model, batches[0]), found) > 18
