"""Models with further inputs besides the image, and the spellings of names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ocr_trt.convert.draft import draft_spec
from ocr_trt.convert.hints import Hints
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import TensorInfo, open_source
from ocr_trt.convert.sources.constants import full_constant
from ocr_trt.convert.sources.spellings import own_spelling
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import InputFileError, SpecError
from ocr_trt.spec import DetectorSpec, RecognizerSpec, SourceSpec

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

SCALED = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[1,3,16,16] image, float[1,1,1,1] gain) => (float[1,3,16,16] map) {
        up = Mul (image, gain)
        map = Sigmoid (up)
    }
"""


def line_and_text() -> Any:
    """Scores that depend on an image and on a text of 24 characters."""
    keras.utils.set_random_seed(2)
    image = keras.Input((32, 96, 1), name="image")
    text = keras.Input((24,), dtype="int32", name="text")
    x = keras.layers.AveragePooling2D((32, 4))(keras.layers.Conv2D(8, 3, padding="same")(image))
    x = keras.layers.Reshape((24, 8))(x)
    x = keras.layers.Concatenate()([x, keras.layers.Embedding(96, 4, name="letters")(text)])
    return keras.Model([image, text], keras.layers.Dense(96, name="scores")(x))


def write(model: Any, path: Path) -> Path:
    if path.suffix == ".pb":
        call = tf.function(lambda image, text: model([image, text], training=False))
        traced = call.get_concrete_function(
            tf.TensorSpec((None, 32, 96, 1), name="image"),
            tf.TensorSpec((None, 24), tf.int32, name="text"),
        )
        from tensorflow.python.framework import convert_to_constants

        frozen = convert_to_constants.convert_variables_to_constants_v2(traced)
        path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
    elif path.suffix:
        model.save(path)
    else:
        model.export(path, format="tf_saved_model", verbose=False)
    return path


def drafted(path: Path, **source: Any) -> DetectorSpec | RecognizerSpec:
    return draft_spec("recognizer", Hints(source=SourceSpec(path=path, **source)))


def check_equal(spec: DetectorSpec | RecognizerSpec, expected: Any = None) -> None:
    source = open_source(spec.source)
    model = convert(source, spec).model
    ours = runner_from_model(model, label="", max_batch=2)
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 1, (2, *ours.shape)).astype(np.float32)
    with baseline_runner(source, spec) as baseline:
        theirs = baseline.run(images)
    assert theirs.std() > 0.01
    np.testing.assert_allclose(ours.run(images), theirs, atol=1e-5)
    if expected is not None:
        np.testing.assert_allclose(theirs, expected(images.transpose(0, 2, 3, 1)), atol=1e-5)


@pytest.mark.parametrize(
    "name", ["m.keras", "m.pb", *(pytest.param(n, marks=pytest.mark.full) for n in ("m.h5", "m"))]
)
def test_further_inputs_get_values(name: str, tmp_path: Path) -> None:
    model, text = line_and_text(), np.arange(24) * 3 % 96
    path = write(model, tmp_path / name)
    with pytest.raises(InputFileError, match=r"also on text \(read by .*letters.*--constant text="):
        drafted(path)
    np.save(tmp_path / "text.npy", text)
    check_equal(drafted(path, constants={"text": 5}), lambda x: model([x, np.full((2, 24), 5)]))
    spec = drafted(path, constants={"text:0": tmp_path / "text.npy"})
    check_equal(spec, lambda x: model([x, np.stack([text, text])]))


def test_onnx_input_gets_a_value(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(SCALED), tmp_path / "m.onnx")
    hints = Hints(source=SourceSpec(path=tmp_path / "m.onnx"))
    with pytest.raises(InputFileError, match=r"also on gain \(read by Mul up\)"):
        draft_spec("detector", Hints(source=hints.source, input=("image", None)))
    source = SourceSpec(path=tmp_path / "m.onnx", constants={"gain": 2.0})
    spec = draft_spec("detector", Hints(source=source, input=("image:0", None)))
    assert spec.input.name == "image"
    model = convert(open_source(spec.source), spec).model
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)
    result = runner_from_model(model, label="", max_batch=1).run(image)
    np.testing.assert_allclose(result, 1 / (1 + np.exp(-2 * image)), atol=1e-6)


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"nothing": 1}, "names nothing, which is not an input.* image, gain"),
        ({"gain": Path("none.npy")}, "none.npy: No such file"),
        ({"gain": Path("objects.npy")}, "not a NumPy array"),
        ({"gain": Path("huge.npy")}, "not a NumPy array"),
        ({"gain": Path("texts.npy")}, "expected numbers"),
        ({"gain": Path("wide.npy")}, r"gain requires float32 of shape 1x1x1x1, got .*\[3\]"),
    ],
)
def test_wrong_values_are_refused(
    constants: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(onnx.parser.parse_model(SCALED), "m.onnx")
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    np.save("texts.npy", np.array(["a"]))
    np.save("wide.npy", np.zeros(3))
    with Path("huge.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)}
        np.lib.format.write_array_header_1_0(file, header)
    source = SourceSpec(path=Path("m.onnx"), constants=constants)
    with pytest.raises((InputFileError, SpecError), match=message):
        draft = draft_spec("detector", Hints(source=source, input=("image", None)))
        convert(open_source(draft.source), draft)


@pytest.mark.parametrize(
    ("dtype", "value"), [("int32", 1.5), ("uint8", 300), ("uint8", -1), ("int64", np.nan)]
)
def test_values_that_an_integer_input_cannot_contain_are_refused(dtype: str, value: float) -> None:
    info = TensorInfo(name="text", shape=(None, 4), dtype=dtype)
    with pytest.raises(SpecError, match=f"text requires values of {dtype}, got {value}"):
        full_constant(np.asarray(value), info, 1)
    assert full_constant(np.asarray(3.0), info, 2).tolist() == [[3] * 4] * 2


def test_keras_constant_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    path = write(line_and_text(), tmp_path / "m.keras")
    np.save(tmp_path / "text.npy", np.zeros(7))
    constants = {"text": tmp_path / "text.npy"}
    with pytest.raises(
        SpecError, match=r"^source.constants: text requires int32 of shape \?x24, got .*\[7\]$"
    ):
        drafted(path, constants=constants)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("image", "serving_default_image:0"),
        ("image:0", "serving_default_image:0"),
        ("serving_default_image", "serving_default_image:0"),
        ("photo", "photo"),
    ],
)
def test_inputs_have_several_spellings(given: str, expected: str) -> None:
    assert own_spelling(given, ["serving_default_image:0", "mask"]) == expected


def test_outputs_have_several_spellings() -> None:
    known = ["map", "score"]
    for given in ("map:0", "output_0", "Identity", "Identity:0", "StatefulPartitionedCall:0"):
        assert own_spelling(given, known, numbered=True) == "map"
    for given in ("output_1", "Identity_1", "StatefulPartitionedCall:1", "PartitionedCall:1"):
        assert own_spelling(given, known, numbered=True) == "score"
    assert own_spelling("output_2", known, numbered=True) == "output_2"


def test_spellings_lead_to_the_same_tensors(tmp_path: Path) -> None:
    keras.utils.set_random_seed(2)
    image = keras.Input((32, 96, 1), name="image")
    x = keras.layers.AveragePooling2D((32, 4))(keras.layers.Conv2D(8, 3, padding="same")(image))
    x = keras.layers.Reshape((24, 8))(x)
    model = keras.Model(image, keras.layers.Dense(96, name="scores")(x))
    for path in (write(model, tmp_path / "m.keras"), write(model, tmp_path / "m")):
        source, images = open_source(SourceSpec(path=path)), np.ones((1, 32, 96, 1), np.float32)
        for name in ("image", "image:0", "serving_default_image:0"):
            for output in ("output_0", "scores", "Identity:0", "StatefulPartitionedCall:0"):
                result = np.asarray(source.function(name, output)(tf.constant(images)))
                np.testing.assert_allclose(result, model(images), atol=1e-5)
        exported = source.to_onnx("image:0", (1, 32, 96, 1), "scores").model.graph
        assert (exported.input[0].name, exported.output[0].name) == ("image:0", "scores")
        with pytest.raises(InputFileError, match="no input named 'photo'; it has: image"):
            source.function("photo", "scores")


class CtcLoss(keras.layers.Layer):  # type: ignore[name-defined,misc]
    """The last layer of a model in training: it adds a loss and returns the scores."""

    def call(self, labels: Any, scores: Any) -> Any:
        return scores


def trained(end: str) -> Any:
    """A recognizer as training saves it; ``end`` selects the layer behind its scores."""
    keras.utils.set_random_seed(2)
    image = keras.Input((32, 96, 1), name="image")
    x = keras.layers.AveragePooling2D((32, 4))(keras.layers.Conv2D(8, 3, padding="same")(image))
    x = keras.layers.Reshape((24, 8))(x)
    scores = keras.layers.Dense(96, activation="softmax", name="scores")(x)
    labels = keras.Input((8,), name="labels")
    if end == "class":
        return keras.Model([image, labels], CtcLoss(name="ctc")(labels, scores))
    if end == "loss":
        summed = keras.layers.Lambda(lambda a: a[0][:, 0, :1] + a[1][:, :1], output_shape=(1,))
        return keras.Model([image, labels], summed([scores, labels]))
    decode = keras.layers.Lambda(lambda a: a * 2, output_shape=(24, 96), name=end)
    return keras.Model(image, decode(scores))


@pytest.mark.parametrize("end", ["class", "loss", "decode"])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_layers_of_training_are_left_out(end: str, suffix: str, tmp_path: Path) -> None:
    model = trained(end)
    path = write(model, tmp_path / f"m{suffix}")
    spec = drafted(path)
    assert (spec.input.name, spec.output.name) == ("image", "scores")
    (left_out,) = open_source(spec.source).signature().left_out
    assert re.search("ctc|lambda|decode", left_out)
    scores = keras.Model(model.inputs[0], model.get_layer("scores").output)
    image = np.random.default_rng(0).uniform(0, 1, (1, 32, 96, 1)).astype(np.float32)
    result = open_source(spec.source).function("image", "scores")(tf.constant(image))
    np.testing.assert_allclose(result, scores(image), atol=1e-6)


def test_other_code_at_the_end_is_refused(tmp_path: Path) -> None:
    path = write(trained("doubled"), tmp_path / "m.keras")
    with pytest.raises(InputFileError, match="layers doubled run Python code"):
        drafted(path)


def test_unknown_layer_in_the_middle_is_named(tmp_path: Path) -> None:
    image = keras.Input((32, 96, 1), name="image")
    x = CtcLoss(name="mine")(image, image)
    path = write(keras.Model(image, keras.layers.Conv2D(1, 1)(x)), tmp_path / "m.keras")
    with pytest.raises(InputFileError, match=r"mine \(CtcLoss\).*--custom.*SavedModel"):
        open_source(SourceSpec(path=path))


def test_functions_in_an_h5_file_are_loaded(tmp_path: Path) -> None:
    image = keras.Input((32, 96, 1), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same")(image)
    x = keras.ops.swapaxes(keras.ops.square(x) + 1.0, 1, 2)
    model = keras.Model(image, keras.layers.Add()([x, keras.ops.tanh(x)]))
    images = np.random.default_rng(0).uniform(0, 1, (1, 32, 96, 1)).astype(np.float32)
    source = open_source(SourceSpec(path=write(model, tmp_path / "m.keras")))
    expected = source.function("image", "output_0")(tf.constant(images))
    np.testing.assert_allclose(expected, model(images), atol=1e-6)
    only_functions = keras.Model(image, keras.ops.square(x) + keras.ops.tanh(x))
    source = open_source(SourceSpec(path=write(only_functions, tmp_path / "m.h5")))
    result = source.function("image", "output_0")(tf.constant(images))
    np.testing.assert_allclose(result, only_functions(images), atol=1e-5)
    # Add is a layer and a function here, and the file gives both the same name.
    source = open_source(SourceSpec(path=write(model, tmp_path / "both.h5")))
    result = source.function("image", "output_0")(tf.constant(images))
    np.testing.assert_allclose(result, expected, atol=1e-6)
