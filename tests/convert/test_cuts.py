"""Models that are cut to their network, and models whose input is of an integer type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.common.progress import SilentReporter
from ocr_trt.convert.draft import draft_spec
from ocr_trt.convert.hints import Hints
from ocr_trt.convert.passes.remove_pixel_casts import remove_pixel_casts
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.convert.sources.pixels import pixel_noise
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import InputFileError, SpecError
from ocr_trt.spec import DetectorSpec, RecognizerSpec, SourceSpec, spec_from_dict

from .helpers import check_does_not_fire, graph, ops

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'


class Listening(SilentReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def line_reader() -> Any:
    keras.utils.set_random_seed(3)
    image = keras.Input((32, None, 1), name="image")
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    x = keras.layers.AveragePooling2D((32, 4))(x)
    x = keras.layers.Reshape((-1, 8), name="steps")(x)
    return keras.Model(image, keras.layers.Dense(11, activation="softmax", name="classes")(x))


class Served(tf.Module):
    """A reader as it is served: JPEGs or pixels in, text out."""

    def __init__(self) -> None:
        self.reader = line_reader()
        keys, texts = tf.range(11, dtype=tf.int64), tf.constant([*"0123456789", ""])
        initializer = tf.lookup.KeyValueTensorInitializer(keys, texts)
        self.table = tf.lookup.StaticHashTable(initializer, default_value="?")

    def text(self, images: Any) -> dict[str, Any]:
        scores = tf.transpose(self.reader(images, training=False), (1, 0, 2))
        lengths = tf.fill(tf.shape(scores)[1:2], tf.shape(scores)[0])
        decoded, score = tf.nn.ctc_greedy_decoder(tf.math.log(scores + 1e-7), lengths)
        characters = self.table.lookup(tf.sparse.to_dense(decoded[0], default_value=10))
        return {"text": tf.strings.reduce_join(characters, axis=-1), "score": -score[:, 0]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="jpegs")])
    def from_jpegs(self, jpegs: Any) -> dict[str, Any]:
        def decoded(jpeg: Any) -> Any:
            pixels = tf.cast(tf.io.decode_jpeg(jpeg, channels=1), tf.float32)
            return tf.image.resize(pixels, (32, 128))

        image = tf.TensorSpec((32, 128, 1), tf.float32)
        return self.text(tf.map_fn(decoded, jpegs, fn_output_signature=image) / 255.0)

    @tf.function(input_signature=[tf.TensorSpec([None, 32, None, 1], tf.uint8, name="image")])
    def from_pixels(self, image: Any) -> dict[str, Any]:
        return self.text(tf.cast(image, tf.float32) / 255.0)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, model = tmp_path_factory.mktemp("served") / "model", Served()
    signatures = {"serving_default": model.from_jpegs, "pixels": model.from_pixels}
    tf.saved_model.save(model, str(path), signatures=signatures)
    return path


def drafted(path: Path, reporter: Listening | None = None, **source: Any) -> RecognizerSpec:
    hints = Hints(source=SourceSpec(path=path, **source), charset="0123456789")
    spec = draft_spec("recognizer", hints, reporter)
    assert isinstance(spec, RecognizerSpec)
    return spec


def check_equal(spec: DetectorSpec | RecognizerSpec, *, atol: float) -> onnx.ModelProto:
    """Convert, and compare with the model on noise; return the clean graph."""
    source = open_source(spec.source)
    model = convert(source, spec).model
    pixels = pixel_noise(spec.input, 1, spec.input.size, np.random.default_rng(0))
    ours = runner_from_model(model, label="x", max_batch=1).run(pixels)
    theirs = baseline_runner(source, spec).run(pixels)
    assert theirs.std() > 1e-4
    np.testing.assert_allclose(ours, theirs, atol=atol)
    return model


def test_model_from_files_to_text_is_cut_to_its_network(served: Path) -> None:
    listening = Listening()
    spec = drafted(served, listening)
    assert spec.input.shape == (1, 32, 128, 1)
    assert spec.output.name.endswith("/Softmax")
    assert (spec.output.layout, spec.output.kind, spec.blank) == ("NTC", "probabilities", 10)
    begins, ends, warning, scaling = listening.notes
    assert "begins at" in begins
    assert "StatelessWhile" in begins
    assert "CTCGreedyDecoder" in ends
    assert "mean and scale" in warning
    assert "(pixel - 0) * 0.003922" in scaling
    assert spec.input.scale == (1.0,)
    clean = check_equal(spec, atol=1e-6)
    assert {node.op_type for node in clean.graph.node} & {"Log", "Cast", "Shape"} == set()


def test_whole_pixels_become_floats(served: Path) -> None:
    spec = drafted(served, signature="pixels")
    assert (spec.input.name, spec.input.mean, spec.input.scale) == ("image", (0.0,), (1.0,))
    clean = check_equal(spec, atol=1e-6)
    assert {node.op_type for node in clean.graph.node} & {"Round", "Cast"} == set()
    scaled = spec.model_copy(update={"input": spec.input.model_copy(update={"scale": (1 / 255,)})})
    with pytest.raises(SpecError, match=r"expected mean \[0\] and scale \[1\], got \[0.0\] and"):
        convert(open_source(spec.source), scaled)


class Labeled(tf.Module):
    """Gives the best class of each step; its scores are inside. Its weights are variables."""

    def __init__(self) -> None:
        self.reader = line_reader()

    @tf.function(input_signature=[tf.TensorSpec([None, 32, None, 1], tf.float32, name="image")])
    def labels(self, image: Any) -> dict[str, Any]:
        return {"labels": tf.argmax(self.reader(image, training=False), -1)}


def test_scores_in_front_of_an_argmax_are_found(tmp_path: Path) -> None:
    model = Labeled()
    tf.saved_model.save(model, str(tmp_path / "m"), signatures=model.labels)
    spec = drafted(tmp_path / "m")
    assert (spec.input.name, spec.output.layout, spec.blank) == ("image", "NTC", 0)
    check_equal(spec, atol=1e-6)


def test_bias_in_front_of_a_decoder_belongs_to_the_network(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with tf.Graph().as_default() as made:
        image = tf.compat.v1.placeholder(tf.float32, [None, 32, 64, 1], name="image")
        columns = tf.reshape(tf.transpose(image, [0, 2, 1, 3]), [-1, 32])
        scores = tf.matmul(columns, tf.constant(rng.normal(size=(32, 11)), tf.float32))
        bias = tf.constant(rng.normal(size=11), tf.float32)
        scores = tf.add(tf.reshape(scores, [-1, 64, 11]), bias, name="scores")
        decoded, _ = tf.nn.ctc_greedy_decoder(tf.transpose(scores, [1, 0, 2]), [64])
        tf.sparse.to_dense(decoded[0], name="text")
    (tmp_path / "m.pb").write_bytes(made.as_graph_def().SerializeToString())
    spec = drafted(tmp_path / "m.pb")
    assert (spec.output.name, spec.output.kind, spec.blank) == ("scores", "logits", 10)
    check_equal(spec, atol=1e-5)


def test_one_name_for_both_ends_is_refused(tmp_path: Path) -> None:
    class Same(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name="x")])
        def call(self, x: Any) -> dict[str, Any]:
            return {"x": tf.sigmoid(x)}

    model = Same()
    tf.saved_model.save(model, str(tmp_path / "m"), signatures=model.call)
    source = open_source(SourceSpec(path=tmp_path / "m"))
    with pytest.raises(InputFileError, match="an input and an output named x; export it with two"):
        source.to_onnx("x", (1, 8, 8, 3), "x")


def test_sequential_models_are_read(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Conv2D(4, 3, padding="same"), keras.layers.Conv2D(1, 1, name="map")]
    keras.Sequential([keras.Input((16, 16, 3), name="image"), *layers]).save(tmp_path / "m.keras")
    data = {
        "name": "m",
        "role": "detector",
        "source": {"path": tmp_path / "m.keras"},
        "input": {"name": "image", "shape": [1, 16, 16, 3]},
        "output": {"name": "map"},
    }
    check_equal(spec_from_dict(data), atol=1e-5)


def test_keras_layers_without_one_output_are_refused(tmp_path: Path) -> None:
    image = keras.Input((8, 16), name="image")
    twice = keras.layers.Dense(16, name="twice")
    states = keras.layers.LSTM(16, return_state=True, return_sequences=True, name="states")
    y = keras.layers.Dense(3, name="y")(states(twice(twice(image)))[0])
    keras.Model(image, y).save(tmp_path / "m.keras")
    source = open_source(SourceSpec(path=tmp_path / "m.keras"))
    for name in ("twice", "states"):
        with pytest.raises(InputFileError, match=f"layer {name} has several outputs, or is called"):
            source.function("image", name)
    with pytest.raises(InputFileError, match=r"image .*same tensor.* image"):
        source.function("image", "image")


def test_names_that_a_signature_lacks_are_listed(served: Path) -> None:
    source = open_source(SourceSpec(path=served))
    with pytest.raises(InputFileError, match="no output named 'nothing'; it has: score, text"):
        source.function("jpegs", "nothing")


def test_keras_model_is_cut_at_its_layers(tmp_path: Path) -> None:
    reader = line_reader()
    length = keras.Input((1,), name="length")
    loss = keras.layers.Multiply(name="loss")([keras.ops.mean(reader.output, -1), length])
    keras.Model([reader.input, length], loss).save(tmp_path / "training.keras")
    data = {
        "name": "m",
        "role": "recognizer",
        "source": {"path": tmp_path / "training.keras"},
        "input": {"name": "image", "shape": [1, 32, 64, 1], "color": "GRAY"},
        "output": {"name": "classes"},
        "charset": "0123456789",
    }
    check_equal(spec_from_dict(data), atol=1e-6)
    spec = drafted(tmp_path / "training.keras", listening := Listening())
    assert (spec.input.name, spec.output.name, spec.output.kind) == (
        "image", "classes", "probabilities",
    )  # fmt: skip
    assert listening.notes == [
        "the spec cuts the model: the network ends at classes; ops left out: Multiply"
    ]
    source = open_source(SourceSpec(path=tmp_path / "training.keras"))
    with pytest.raises(InputFileError, match=r"depends not only on image, but also on"):
        source.function("image", "loss")
    with pytest.raises(InputFileError, match="no output named 'nothing'; it has: loss"):
        source.function("image", "nothing")
    assert source.function("steps", "classes")(tf.zeros((1, 5, 8))).shape == (1, 5, 11)


BRANCHED = f"""{HEAD} g (uint8[1,3,16,16] image, float[1,3,16,16] other) => (int64[1,16,16] best) {{
    x = Cast <to = 1> (image)
    half = Constant <value_float = 0.5> ()
    y = Mul (x, half)
    map = Sigmoid (y)
    best = ArgMax <axis = 1, keepdims = 0> (map)
    both = Add (y, other)
}}"""


def onnx_spec(path: Path, input: str, output: str, **entry: Any) -> DetectorSpec | RecognizerSpec:
    entry = {"name": input, "shape": [1, 3, 16, 16], "layout": "NCHW", **entry}
    return spec_from_dict(
        {
            "name": "m",
            "role": "detector",
            "source": {"path": path},
            "input": entry,
            "output": {"name": output},
        }
    )


@pytest.mark.parametrize(
    ("entry", "scale", "left"),
    [
        ("image", 1.0, {"Mul": 1, "Sigmoid": 1}),
        ("x", 0.01, {"Mul": 1, "Sigmoid": 1}),
        ("y", 0.01, {"Sigmoid": 1}),
    ],
)
def test_onnx_file_is_cut_at_its_values(
    tmp_path: Path, entry: str, scale: float, left: dict[str, int]
) -> None:
    onnx.save(onnx.parser.parse_model(BRANCHED), tmp_path / "m.onnx")
    mean = 0.0 if entry == "image" else 127.0
    spec = onnx_spec(tmp_path / "m.onnx", entry, "map", scale=[scale], mean=[mean])
    clean = check_equal(spec, atol=1e-6)
    assert {n.op_type: 1 for n in clean.graph.node} == left


def test_onnx_value_that_needs_another_input_is_refused(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(BRANCHED), tmp_path / "m.onnx")
    source = open_source(SourceSpec(path=tmp_path / "m.onnx"))
    with pytest.raises(InputFileError, match=r"both .* on image, but also on other"):
        source.to_onnx("image", (1, 3, 16, 16), "both")
    with pytest.raises(InputFileError, match="no output named 'nothing'; it has: best"):
        source.to_onnx("image", (1, 3, 16, 16), "nothing")
    for name in ("half", "image"):
        with pytest.raises(InputFileError, match=f"{name} does not depend on image"):
            source.to_onnx("image", (1, 3, 16, 16), name)


def test_whole_pixels_read_in_a_branch_are_cast(tmp_path: Path) -> None:
    text = f"""{HEAD} g (uint8[1,3,16,16] image) => (float[1,3,16,16] map) {{
        image_taken = Cast <to = 1> (image)
        s = ReduceSum (image_taken)
        zero = Constant <value_float = 0.0> ()
        c = Greater (s, zero)
        p = If (c) <
            then_branch = t () => (uint8[1,3,16,16] a) {{ a = Add (image, image) }},
            else_branch = e () => (uint8[1,3,16,16] b) {{ b = Identity (image) }}
        >
        f = Cast <to = 1> (p)
        map = Mul (f, image_taken)
    }}"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    check_equal(onnx_spec(tmp_path / "m.onnx", "image", "map", scale=[1.0]), atol=0)


KEPT = {
    "a branch that gives a constant": """
        s = ReduceSum (image)
        zero = Constant <value_float = 0.0> ()
        c = Greater (s, zero)
        p = If (c) <
            then_branch = t () => (float[1] a) {
                two = Constant <value_floats = [2.0]> () a = Mul (two, two) },
            else_branch = e () => (float[1] b) { b = Constant <value_floats = [3.0]> () }
        >
        map = Mul (image, p)""",
    "a loop that stays": """
        n = Constant <value_int = 3> ()
        on = Constant <value = bool {1}> ()
        map = Loop (n, on, image) <body = b (int64 i, bool go, float[1,3,16,16] v) =>
            (bool more, float[1,3,16,16] w) { more = Identity (go) w = Sin (v) }>""",
}


@pytest.mark.parametrize("body", KEPT.values(), ids=KEPT)
def test_inner_graphs_that_stay_are_legal(tmp_path: Path, body: str) -> None:
    text = f"{HEAD} g (float[1,3,16,16] image) => (float[1,3,16,16] map) {{ {body} }}"
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    check_equal(onnx_spec(tmp_path / "m.onnx", "image", "map"), atol=1e-6)


def test_pixels_move_before_they_become_floats() -> None:
    text = """agraph (float[1,4,6,1] image) => (float[1,1,4,6] y) {
        r = Round(image) u = Cast<to = 2>(r) t = Transpose<perm = [0,3,1,2]>(u)
        y = Cast<to = 1>(t)
    }"""
    model = graph(text)
    assert remove_pixel_casts(model).changed == 1
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert ops(model) == {"Transpose": 1}


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        ("m = BitShift<direction = \"RIGHT\">(u, u) y = Cast<to = 1>(m)", "BitShift"),
        ("y = Identity(u)", "the output"),
    ],
)  # fmt: skip
def test_pixels_that_are_used_as_whole_numbers_stay(tail: str, reason: str) -> None:
    kind = "uint8" if tail.startswith("y =") else "float"
    text = (
        f"agraph (float[1,3,4,6] image) => ({kind}[1,3,4,6] y) {{"
        f" r = Round(image) u = Cast<to = 2>(r) {tail} }}"
    )
    outcome = check_does_not_fire(graph(text), remove_pixel_casts)
    assert [skip.reason for skip in outcome.skipped] == [f"{reason} requires integers"]


def test_cast_of_a_float_model_stays() -> None:
    text = """agraph (float[1,3,4,6] image) => (float[1,3,4,6] y) {
        u = Cast<to = 6>(image) y = Cast<to = 1>(u) }"""
    assert check_does_not_fire(graph(text), remove_pixel_casts).skipped == ()


def test_casts_of_other_values_stay() -> None:
    text = """agraph (float[2,6] image) => (float[2,6] y) {
        a = Abs(image) u = Cast<to = 2>(a) y = Cast<to = 1>(u)
    }"""
    assert check_does_not_fire(graph(text), remove_pixel_casts).skipped == ()
