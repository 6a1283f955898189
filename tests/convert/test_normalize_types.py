"""Graphs in float16, bfloat16 and float64 become float32; the rounding of a model is measured."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.convert.float_types import FloatTypes, as_float32
from ocr_trt.convert.passes.normalize_types import normalize_types
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.recurrent.scan_bodies import scans_from_recurrent
from ocr_trt.convert.rounding import Rounding, rounded
from ocr_trt.convert.sources import open_source
from ocr_trt.convert.verify import verify
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.spec import spec_from_dict

from .helpers import check_does_not_fire, graph, ops, traced, used

TYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "double": np.float64}
# ONNX' numbers of these types.
NUMBERS = {"float16": 10, "bfloat16": 16, "double": 11}  # of ONNX


def other_types(model: ir.Model) -> set[str]:
    """Return all float types but float32 in the text of a model."""
    text = onnx.printer.to_text(ir.to_proto(model))
    return {name for name in (*TYPES, "float16") if f"{name}[" in text or f"{name} " in text}


BODIES = {
    "between casts": """a = Cast <to = {to}> (x) b = Mul(a, w) c = Relu(b)
        y = Cast <to = 1> (c)""",
    "constant nodes": """a = Cast <to = {to}> (x) k = Constant <value = float {{2.0}}> ()
        b = Mul(a, k) y = Cast <to = 1> (b)""",
    "attributes that state a type": """a = Cast <to = {to}> (x) e = EyeLike <dtype = {to}> (m)
        f = MatMul(e, s) g = ReduceSum <keepdims = 0> (f) b = Mul(a, g) y = Cast <to = 1> (b)""",
    "cast by example": """a = CastLike(x, w) b = Mul(a, w) y = CastLike(b, x)""",
    "branches": """a = Cast <to = {to}> (x) t = ReduceSum <keepdims = 0> (x) z = Less(t, zero)
        b = If (z) <
            then_branch = g1 () => ({type}[2,3] p) {{ p = Neg(a) }},
            else_branch = g2 () => ({type}[2,3] q) {{ q = Mul(a, w) }} >
        y = Cast <to = 1> (b)""",
    "loop": """a = Cast <to = {to}> (x)
        b = Loop (n, true, a) <body = g (int64 i, bool more, {type}[2,3] s)
            => (bool o, {type}[2,3] r) {{ o = Identity(more)
            c = Cast <to = 1> (s) d = Cast <to = {to}> (c) r = Add(d, w) }}>
        y = Cast <to = 1> (b)""",
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", BODIES)
def test_all_parts_of_a_graph_become_float32(
    name: str, kind: str, rng: np.random.Generator
) -> None:
    body = BODIES[name].format(to=NUMBERS[kind], type=kind)
    known = {
        "w": np.array([0.5, 2.0, 1.5], TYPES[kind]), "s": np.ones((2, 1), TYPES[kind]),
        "m": np.zeros((2, 2), TYPES[kind]), "zero": np.float32(0), "true": np.array(True),
        "n": np.array(3),
    }  # fmt: skip
    model = graph(f"agraph (float[2,3] x) => (float[2,3] y) {{ {body} }}", **known)
    for node in [n for n in model.graph if n.op_type == "Constant"]:
        # ONNX text has no tensors of 16 bits.
        node.attributes["value"] = ir.AttrTensor("value", ir.tensor(np.array(2.0, TYPES[kind])))
        node.outputs[0].type = ir.TensorType(ir.DataType(NUMBERS[kind]))
    assert normalize_types(model).changed > 0
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert not other_types(model)
    assert not ops(model)["Cast"]
    x = rng.standard_normal((2, 3)).astype(np.float32)
    w = known["w"].astype(np.float32)
    expected = {
        "between casts": np.maximum(x * w, 0), "constant nodes": 2 * x,
        "attributes that state a type": 2 * x, "cast by example": x * w,
        "branches": -x if x.sum() < 0 else x * w, "loop": x + 3 * w,
    }[name]  # fmt: skip
    found = onnx_session(ir.to_proto(model)).run(None, {"x": x})[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_integers_and_float32_stay() -> None:
    text = """agraph (float[2,3] x) => (float[2,3] y, int32[2,3] z) {
        a = Relu(x) z = Cast <to = 6> (a) y = Cast <to = 1> (z) }"""
    check_does_not_fire(graph(text), normalize_types)


def test_what_became_float32_is_counted_by_type() -> None:
    text = """agraph (float[2,3] x) => (float[2,3] y) {
        a = Cast <to = 10> (x) b = Mul(a, w) c = Cast <to = 11> (b) d = Mul(c, v)
        y = Cast <to = 1> (d) }"""
    model = graph(text, w=np.float16([1, 2, 3]), v=np.float64([1, 2, 3]))
    found = normalize_types(model).float_types
    assert found.results == {"float16": 2, "float64": 2}
    assert found.constants == {"float16": 1, "float64": 1}
    assert found.coarsest == "float16"
    half, double = found.notes()
    assert half.startswith("1 float16 constants and 2 float16 results became float32")
    assert "7 of their 16 decimal digits" in double


@pytest.mark.parametrize(
    ("results", "coarsest"),
    [({}, None), ({"float64": 3}, None), ({"float16": 1}, "float16"),
     ({"float16": 9, "bfloat16": 1}, "bfloat16")],
)  # fmt: skip
def test_the_coarsest_type_sets_the_tolerance(results: dict, coarsest: str | None) -> None:
    # Constants alone do not round anything.
    found = FloatTypes(results=Counter(results), constants=Counter(bfloat16=5))
    assert found.coarsest == coarsest


def test_masks_stay_finite_and_infinities_stay() -> None:
    lowest = np.finfo(np.float64).min
    found = as_float32(np.array([lowest, -np.inf, 1.0]))
    assert found.tolist() == [np.finfo(np.float32).min, -np.inf, 1.0]
    assert as_float32(np.float16([-65504, np.inf])).tolist() == [-65504.0, np.inf]


@pytest.mark.parametrize("kind", TYPES)
def test_masked_attention_is_that_of_the_model(kind: str, rng: np.random.Generator) -> None:
    """Multiplied masks of the lowest number: 0 where nothing is masked, and no NaN."""
    dtype = TYPES[kind]
    lowest = float(ml_dtypes.finfo(dtype).min)
    text = f"""agraph (float[2,3] x) => (float[2,3] y) {{
        a = Cast <to = {NUMBERS[kind]}> (x) g = Greater(a, zero) h = Cast <to = {NUMBERS[kind]}> (g)
        m = Mul(h, low) b = Add(a, m) c = Softmax(b) y = Cast <to = 1> (c) }}"""
    model = graph(text, zero=np.zeros((), dtype), low=np.array(lowest, dtype))
    normalize_types(model)
    x = np.array([[1, -1, -2], [-1, 2, -0.5]], np.float32)
    found = onnx_session(ir.to_proto(model)).run(None, {"x": x})[0]
    scores = np.exp(np.where(x > 0, -np.inf, x))
    np.testing.assert_allclose(found, scores / scores.sum(1, keepdims=True), atol=1e-6)


def test_numbers_that_do_not_depend_on_the_image_keep_their_rounding() -> None:
    """Positions counted in bfloat16: 257 is 256 there, and the model was trained with 256."""
    text = """agraph (float[4] x) => (float[4] y) {
        r = Range(start, stop, step) p = Cast <to = 16> (r) q = Cast <to = 1> (p)
        y = Add(x, q) }"""
    model = graph(text, start=np.int64(255), stop=np.int64(259), step=np.int64(1))
    normalize_types(model)
    found = onnx_session(ir.to_proto(model)).run(None, {"x": np.zeros(4, np.float32)})[0]
    assert found.tolist() == [255, 256, 256, 258]


def test_rounding_is_that_of_numpy(rng: np.random.Generator) -> None:
    text = "agraph (float[5,7] x) => (float[5,7] y) { a = Sqrt(x) y = Mul(a, a) }"
    x = rng.uniform(0, 4, (5, 7)).astype(np.float32)
    model = rounded(ir.to_proto(graph(text)), "float16")
    half = np.sqrt(x).astype(np.float16).astype(np.float32)
    found = onnx_session(model, optimize=False).run(None, {"x": x})[0]
    np.testing.assert_array_equal(found, (half * half).astype(np.float16).astype(np.float32))


RECURRENT = {
    "LSTM": (4, "y, h = LSTM <hidden_size = 3> (x, w, r, b)", 1),
    "bidirectional LSTM": (
        4, "y, h = LSTM <hidden_size = 3, direction = \"bidirectional\"> (x, w, r, b, , h0, h0)", 2,
    ),
    "GRU": (3, "y, h = GRU <hidden_size = 3> (x, w, r, b, , h0)", 1),
    "reset late": (
        3, "y, h = GRU <hidden_size = 3, linear_before_reset = 1, direction = \"reverse\">"
        " (x, w, r, b)", 1,
    ),
    "RNN": (1, "y, h = RNN <hidden_size = 3> (x, w, r)", 1),
}  # fmt: skip


@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_ops_as_scans_return_the_same(kind: str, rng: np.random.Generator) -> None:
    gates, body, directions = RECURRENT[kind]
    shapes = {
        "w": (directions, gates * 3, 5), "r": (directions, gates * 3, 3),
        "b": (directions, gates * 6), "h0": (directions, 2, 3),
    }  # fmt: skip
    text = f"""agraph (float[T,2,5] x) => (float[T,{directions},2,3] y, float[{directions},2,3] h)
        {{ {body} }}"""
    arrays = {name: rng.normal(0, 0.7, size).astype(np.float32) for name, size in shapes.items()}
    model = graph(text, **used(text, arrays))
    x = rng.standard_normal((6, 2, 5)).astype(np.float32)
    before = onnx_session(ir.to_proto(model)).run(None, {"x": x})
    (node,) = model.graph
    assert scans_from_recurrent(node, lambda array: array)
    assert set(ops(model)) >= {"Scan"} and not ops(model)[node.op_type]
    after = onnx_session(ir.to_proto(model)).run(None, {"x": x})
    for expected, result in zip(before, after, strict=True):
        np.testing.assert_allclose(result, expected, atol=1e-6)


def test_recurrent_ops_with_lengths_stay() -> None:
    text = """agraph (float[6,2,5] x) => (float[6,1,2,3] y) {
        y = RNN <hidden_size = 3> (x, w, r, , n) }"""
    model = graph(text, w=np.ones((1, 3, 5), "f"), r=np.ones((1, 3, 3), "f"), n=np.int32([3, 6]))
    (node,) = model.graph
    assert not scans_from_recurrent(node, lambda array: array)
    assert ops(model) == {"RNN": 1}


def test_each_step_of_a_loop_is_rounded() -> None:
    """The sum of 0.1 over 64 steps: rounded once it is 6.4, rounded in each step it is less."""
    text = """agraph (float[1] x) => (float[1] y) {
        n = Constant <value_int = 64> () go = Constant <value = bool {1}> ()
        y = Loop (n, go, x) <body = g (int64 i, bool more, float[1] s) => (bool o, float[1] t) {
            o = Identity(more) k = Constant <value_floats = [0.1]> () t = Add(s, k) }> }"""
    model = rounded(ir.to_proto(graph(text)), "bfloat16")
    found = onnx_session(model, optimize=False).run(None, {"x": np.zeros(1, np.float32)})[0]
    total = ml_dtypes.bfloat16(0)
    for _ in range(64):
        total = ml_dtypes.bfloat16(total + ml_dtypes.bfloat16(0.1))
    assert found == np.float32(total) != np.float32(ml_dtypes.bfloat16(6.4))


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        ("bfloat16", "LSTM"),
        ("float16", "GRU"),
        pytest.param("bfloat16", "GRU", marks=pytest.mark.full),
        pytest.param("float16", "SimpleRNN", marks=pytest.mark.full),
        pytest.param("bfloat16", "ConvLSTM1D", marks=pytest.mark.full),
        pytest.param("float16", "ConvLSTM1D", marks=pytest.mark.full),
    ],
)
def test_long_sequences_differ_by_the_rounding_of_each_step(
    kind: str, layer: str, rng: np.random.Generator
) -> None:
    tf, keras = pytest.importorskip("tensorflow"), pytest.importorskip("keras")
    keras.utils.set_random_seed(3)
    settings = {"dtype": f"mixed_{kind}", "return_sequences": True}
    is_conv = layer == "ConvLSTM1D"
    if is_conv:
        settings |= {"kernel_size": 3, "padding": "same"}
    made = getattr(keras.layers, layer)(8, **settings)
    shape = (1, 96, 6, 5) if is_conv else (1, 96, 5)
    x = rng.uniform(-1, 1, shape).astype(np.float32)
    made(x)
    proto = ir.to_proto(traced(lambda x: tf.cast(made(x), tf.float32), shape))
    exact, other = (
        onnx_session(m, optimize=False).run(None, {"x": x})[0]
        for m in (proto, rounded(proto, kind))
    )
    theirs = made(x).numpy().astype(np.float32)
    own, found = (Rounding.of([np.abs(exact - each)]) for each in (other, theirs))
    # The ratio is near 1, so that the multiples of decision 0020 leave room for larger models.
    assert 0.4 < found.rms / own.rms < 2.5
    assert 0.3 < found.peak / own.peak < 3


def test_rounding_explains_a_multiple_of_itself_only() -> None:
    noise = Rounding.of([np.full(100, 0.01, np.float32)])
    assert noise.peak == pytest.approx(0.01)
    assert noise.explains([np.full(100, 0.03, np.float32)], 1e-3)
    assert not noise.explains([np.full(100, 0.05, np.float32)], 1e-3), "wrong everywhere"
    peaks = np.zeros(100, np.float32)
    peaks[0] = 0.07
    assert noise.explains([peaks], 1e-3)
    peaks[0] = 0.09
    assert not noise.explains([peaks], 1e-3), "wrong in one place"
    peaks[0] = np.nan
    assert not noise.explains([peaks], 1e-3)


def written(kind: str, path: Path, rng: np.random.Generator) -> Any:
    """Write a detector whose file is in another float type; return its spec."""
    dtype = TYPES[kind]
    weights = {"w": (8, 3, 3, 3), "v": (1, 8, 1, 1)}
    text = f"""agraph ({kind}[1,3,32,48] image) => ({kind}[1,1,32,48] map) {{
        a = Conv <pads = [1, 1, 1, 1]> (image, w) b = Relu(a) c = Conv(b, v) map = Sigmoid(c) }}"""
    arrays = {n: rng.normal(0, 0.3, shape).astype(dtype) for n, shape in weights.items()}
    model = ir.to_proto(graph(text, **arrays))
    model.opset_import[0].version = 22  # the first whose Conv accepts bfloat16
    onnx.save(model, path)
    return spec_from_dict(
        {
            "name": "m", "role": "detector", "source": {"path": path},
            "input": {"name": "image", "shape": [1, 3, 32, 48], "layout": "NCHW"},
            "output": {"name": "map"},
        }
    )  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_file_in_another_type_equals_onnxruntime(
    kind: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    spec = written(kind, tmp_path / "m.onnx", rng)
    source = open_source(spec.source)
    found = convert(source, spec)
    assert not other_types(ir.from_proto(found.model))
    assert found.ops == {"Conv": 2, "Relu": 1, "Sigmoid": 1}
    baseline = baseline_runner(source, spec)
    # onnxruntime has no convolution of these types on a CPU, and the label states it.
    assert ("as float32" in baseline.label) == (kind != "float16")
    ours = runner_from_model(found.model, label="x", max_batch=1)
    image = rng.uniform(0, 1, (1, 3, 32, 48)).astype(np.float32)
    np.testing.assert_allclose(ours.run(image), baseline.run(image), atol=1e-3)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_tensorflow_graph_in_another_type(kind: str, rng: np.random.Generator) -> None:
    tf = pytest.importorskip("tensorflow")
    weights = rng.normal(0, 0.3, (3, 3, 2, 4)).astype(np.float32)
    memory = rng.normal(0, 0.3, (4, 4)).astype(np.float32)

    def function(x: Any) -> Any:
        y = tf.nn.relu(tf.nn.conv2d(tf.cast(x, kind), tf.cast(weights, kind), 1, "SAME"))
        state = tf.reduce_mean(y, [1, 2])
        # The body of a loop is a function with types of its own, and casts in it.
        _, state = tf.while_loop(
            lambda i, s: i < 3,
            lambda i, s: (i + 1, tf.cast(tf.tanh(tf.cast(s, "float32") @ memory), kind)),
            (0, state),
        )
        return tf.cast(state, tf.float32)

    model = traced(function, (2, 6, 5, 2))
    assert not other_types(model)
    x = rng.uniform(-1, 1, (2, 6, 5, 2)).astype(np.float32)
    found = onnx_session(ir.to_proto(model)).run(None, {"x": x})[0]
    atol = {"float16": 2e-3, "bfloat16": 2e-2, "float64": 1e-6}[kind]
    np.testing.assert_allclose(found, function(tf.constant(x)).numpy(), atol=atol)


def test_verify_allows_the_export_the_rounding_of_the_model(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    tf = pytest.importorskip("tensorflow")
    kernel = rng.normal(0, 0.3, (3, 3, 3, 1)).astype(np.float32)
    v1 = tf.compat.v1
    with v1.Graph().as_default() as made:
        x = tf.cast(v1.placeholder("float32", [1, 32, 48, 3], name="image"), tf.bfloat16)
        x = tf.cast(tf.nn.conv2d(x, tf.cast(kernel, tf.bfloat16), 1, "SAME"), tf.float32)
        tf.sigmoid(x * 8.0, name="map")
    (tmp_path / "m.pb").write_bytes(made.as_graph_def().SerializeToString())
    spec = spec_from_dict(
        {
            "name": "m", "role": "detector", "source": {"path": tmp_path / "m.pb"},
            "input": {"name": "image", "shape": [1, 32, 48, 3]}, "output": {"name": "map"},
        }
    )  # fmt: skip
    source = open_source(spec.source)
    export, *passes = verify(source, spec, baseline_runner(source, spec).run)
    assert spec.accuracy.max_difference < export.difference <= export.allowed
    assert all(check.difference < 1e-5 for check in passes), "compared with the export"
