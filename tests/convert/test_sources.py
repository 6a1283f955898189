from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx_ir as ir
import pytest

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.convert.draft import draft_spec
from ocr_trt.convert.hints import Hints
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source, source_format
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import InputFileError, SpecError
from ocr_trt.spec import (
    DetectorSpec,
    RecognizerSpec,
    SourceSpec,
    spec_from_dict,
    with_max_batch,
)

keras = pytest.importorskip("keras")


def small_keras(folder: Path, name: str) -> Path:
    keras.utils.set_random_seed(3)
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    x = keras.layers.Conv2D(1, 1, activation="sigmoid", name="map")(x)
    path = folder / name
    keras.Model(image, x).save(path)
    return path


def hints(path: Path, **values: Any) -> Hints:
    return Hints(source=SourceSpec(path=path), **values)


def spec_for(path: Path, **source: object) -> DetectorSpec | RecognizerSpec:
    return spec_from_dict(
        {
            "name": "m",
            "role": "detector",
            "source": {"path": path, **source},
            "input": {"name": "image", "shape": [1, 16, 24, 3]},
            "output": {"name": "map"},
        }
    )


def test_hdf5_file_may_contain_words_that_are_names_of_functions(tmp_path: Path) -> None:
    import keras

    image = keras.Input((8, 12, 4), name="image")
    x = keras.layers.Reshape((8, 48))(image)
    x = keras.layers.Attention()([x, x])  # score_mode="dot"; keras.layers.dot is a function
    x = keras.layers.Add(name="add")([x, x])
    path = tmp_path / "model.h5"
    keras.Model(image, x).save(path)
    source = open_source(SourceSpec(path=path))
    assert [each.name for each in source.signature().outputs] == ["add"]


def test_layers_inside_layers_of_keras_2_files_load(tmp_path: Path) -> None:
    import h5py
    import keras

    image = keras.Input((8, 12, 4), name="image")
    x = keras.layers.Reshape((8, 48))(image)
    x = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))(x)
    path = tmp_path / "model.h5"
    keras.Model(image, x).save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        (layer,) = (each for each in config["config"]["layers"] if "bi" in each["config"]["name"])
        for key in ("layer", "backward_layer"):
            inner = layer["config"].get(key, {})
            inner.pop("module", None)
            inner.pop("registered_name", None)
            inner.pop("build_config", None)
        file.attrs["model_config"] = json.dumps(config)
    (output,) = open_source(SourceSpec(path=path)).signature().outputs
    assert output.shape == (None, 8, 6)


@pytest.mark.parametrize("shape", [(64, 32), (4, 8, 8, 1)])
@pytest.mark.parametrize("name", [None, ("image", None)])
def test_draft_requires_an_image_of_four_axes(
    shape: tuple[int, ...], name: tuple[str, None] | None, tmp_path: Path
) -> None:
    import keras

    image = keras.Input(shape, name="image")
    path = tmp_path / "model.keras"
    keras.Model(image, keras.layers.Dense(37)(image)).save(path)
    hints = Hints(source=SourceSpec(path=path), input=name)
    expected = "x".join(map(str, shape))
    with pytest.raises(InputFileError, match=rf"image has the shape \?x{expected}.* 4 axes"):
        draft_spec("recognizer", hints)


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_keras_files_convert_and_equal_keras(
    tmp_path: Path, name: str, rng: np.random.Generator
) -> None:
    spec = spec_for(small_keras(tmp_path, name))
    source = open_source(spec.source)
    image = rng.uniform(-1, 1, (1, 3, 16, 24)).astype(np.float32)
    ours = runner_from_model(convert(source, spec).model, label="x", max_batch=1).run(image)
    theirs = baseline_runner(source, spec).run(image)
    assert theirs.std() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_onnx_files_convert_and_equal_themselves(
    tmp_path: Path, layout: str, rng: np.random.Generator
) -> None:
    weights = rng.standard_normal((2, 3, 3, 3)).astype(np.float32)
    dims = ["N", 3, "H", "W"] if layout == "NCHW" else ["N", "H", "W", 3]
    inner = "image" if layout == "NCHW" else "nchw"
    nodes = [
        onnx.helper.make_node("Conv", [inner, "w"], ["c"], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Sigmoid", ["c"], ["s"]),
    ]
    if layout == "NHWC":
        nodes.insert(0, onnx.helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]))
        nodes.append(onnx.helper.make_node("Transpose", ["s"], ["map"], perm=[0, 2, 3, 1]))
    else:
        nodes.append(onnx.helper.make_node("Identity", ["s"], ["map"]))
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [value("image", onnx.TensorProto.FLOAT, dims)],
        [value("map", onnx.TensorProto.FLOAT, [None] * 4)],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    opset = onnx.helper.make_opsetid("", 13)
    # An IR version that every supported onnxruntime reads; the default is that of the newest onnx.
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    shape = [1, 3, 16, 24] if layout == "NCHW" else [1, 16, 24, 3]
    spec = spec_for(path)
    settings = spec.input.model_copy(update={"layout": layout, "shape": tuple(shape)})
    spec = spec.model_copy(update={"input": settings})
    source = open_source(spec.source)
    found = convert(source, spec)
    assert set(found.ops) == {"Conv", "Sigmoid"}
    image = rng.uniform(-1, 1, (1, 3, 16, 24)).astype(np.float32)
    ours = runner_from_model(found.model, label="x", max_batch=1).run(image)
    theirs = baseline_runner(source, spec).run(image)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def frozen_graph(path: Path) -> Path:
    tf = pytest.importorskip("tensorflow")
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [None, None, None, 3], name="image")
        kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 3, 2)), tf.float32)
        x = tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "SAME"), name="inner/relu")
        tf.sigmoid(x, name="map")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


@pytest.mark.parametrize("output", ["map", "map:0", "inner/relu"])
def test_frozen_graphs_convert_and_equal_tensorflow(
    tmp_path: Path, output: str, rng: np.random.Generator
) -> None:
    spec = spec_for(frozen_graph(tmp_path / "m.pb"))
    spec = spec.model_copy(update={"output": spec.output.model_copy(update={"name": output})})
    source = open_source(spec.source)
    image = rng.uniform(-1, 1, (1, 3, 16, 24)).astype(np.float32)
    ours = runner_from_model(convert(source, spec).model, label="x", max_batch=1).run(image)
    theirs = baseline_runner(source, spec).run(image)
    assert theirs.std() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_frozen_graph_finds_its_ends(tmp_path: Path) -> None:
    source = open_source(SourceSpec(path=frozen_graph(tmp_path / "m.pb")))
    found = source.signature()
    assert [(i.name, i.shape) for i in found.inputs] == [("image", (None, None, None, 3))]
    assert [o.name for o in found.outputs] == ["map"]
    with pytest.raises(InputFileError, match="no input named 'photo'; it has: image"):
        source.function("photo", "map")
    with pytest.raises(InputFileError, match="no output named 'nothing'; it has: map"):
        source.to_onnx("image", (1, 16, 24, 3), "nothing")


def test_switches_of_a_frozen_graph_get_their_defaults(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    tf = pytest.importorskip("tensorflow")
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        image = v1.placeholder(tf.float32, [None, None, None, 3], name="image")
        training = v1.placeholder_with_default(False, [], name="is_training")
        keep = v1.placeholder_with_default(0.5, [], name="keep_prob")
        x = tf.cond(training, lambda: image * 2.0, lambda: tf.exp(image))
        tf.sigmoid(x * keep, name="map")
        tf.print("seen", output_stream="file:///dev/null")
    (tmp_path / "m.pb").write_bytes(graph.as_graph_def().SerializeToString())
    spec = spec_for(tmp_path / "m.pb")
    source = open_source(spec.source)
    assert [i.name for i in source.signature().inputs] == ["image"]
    assert [o.name for o in source.signature().outputs] == ["map"]
    pixels = rng.uniform(-1, 1, (1, 3, 16, 24)).astype(np.float32)
    ours = runner_from_model(convert(source, spec).model, label="x", max_batch=1).run(pixels)
    np.testing.assert_allclose(ours, baseline_runner(source, spec).run(pixels), atol=1e-6)


def test_second_input_of_a_frozen_graph_is_named(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [None, 4], name="image")
        keep = tf.compat.v1.placeholder(tf.float32, [], name="keep_prob")
        tf.multiply(image, keep, name="map")
    (tmp_path / "m.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(InputFileError, match=r"map .* on image, but also on"):
        open_source(SourceSpec(path=tmp_path / "m.pb")).function("image", "map")


def test_graph_with_variables_is_refused(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [1, 4], name="image")
        weight = tf.compat.v1.get_variable("weight", [4], use_resource=False)
        tf.multiply(image, weight, name="map")
    (tmp_path / "m.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(InputFileError, match=r"not frozen: .*1 variables, such as weight"):
        open_source(SourceSpec(path=tmp_path / "m.pb"))


@pytest.mark.parametrize("is_nested", [False, True])
def test_loops_whose_nodes_are_named_like_those_outside_convert(
    is_nested: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    tf = pytest.importorskip("tensorflow")
    kernel = rng.normal(0, 0.3, (8, 4)).astype("f")
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [1, 16, 24, 3], name="image")
        steps = tf.concat([image, image[..., :1]], 3, name="concat")  # read inside, too

        def inner(step: Any, state: Any) -> Any:
            return step + 1, tf.tanh(tf.concat([state[..., 1:], state[..., :1]], 2, name="concat"))

        def body(step: Any, state: Any) -> Any:
            joined = tf.concat([state, steps[:, :, step]], 2, name="concat")
            state = tf.tanh(tf.tensordot(joined, kernel, 1))
            if is_nested:
                _, state = tf.while_loop(lambda step, _: step < 3, inner, (0, state))
            return step + 1, state

        start = tf.zeros([1, 16, 4])
        _, last = tf.while_loop(lambda step, _: step < 24, body, (0, start))
        # The shapes of its branches are known once the loop is closed.
        last = tf.cond(tf.reduce_mean(image) > 0, lambda: tf.sin(last), lambda: tf.exp(last))
        tf.tile(last[:, :, None, :1], [1, 1, 24, 1], name="map")
    (tmp_path / "m.pb").write_bytes(graph.as_graph_def().SerializeToString())
    spec = spec_for(tmp_path / "m.pb")
    source = open_source(spec.source)
    pixels = rng.uniform(-1, 1, (1, 3, 16, 24)).astype(np.float32)
    theirs = baseline_runner(source, spec).run(pixels)
    if is_nested:  # which no pass converts
        exported = ir.to_proto(source.to_onnx("image", (1, 16, 24, 3), "map").whole())
        (found,) = onnx_session(exported).run(None, {"image": pixels.transpose(0, 2, 3, 1)})
        ours = found.transpose(0, 3, 1, 2)
    else:
        ours = runner_from_model(convert(source, spec).model, label="x", max_batch=1).run(pixels)
    assert theirs.std() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("is_trained", [False, True])
def test_checkpoints_convert_and_equal_tensorflow(
    is_trained: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    tf = pytest.importorskip("tensorflow")
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        image = v1.placeholder(tf.float32, [None, None, None, 3], name="image")
        kernel = v1.get_variable("kernel", initializer=rng.normal(size=(3, 3, 3, 1)).astype("f"))
        result = tf.sigmoid(tf.nn.conv2d(image, kernel, 1, "SAME"), name="map")
        if is_trained:
            steps = v1.train.get_or_create_global_step()
            v1.train.AdamOptimizer().minimize(tf.reduce_mean(result, name="loss"), steps)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    spec = spec_for(tmp_path / "model.ckpt.meta")
    source = open_source(spec.source)
    expected = ["loss"] if is_trained else ["map"]
    assert [o.name for o in source.signature().outputs] == expected
    pixels = rng.uniform(-1, 1, (1, 3, 16, 24)).astype(np.float32)
    ours = runner_from_model(convert(source, spec).model, label="x", max_batch=1).run(pixels)
    theirs = baseline_runner(source, spec).run(pixels)
    assert theirs.std() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    for file in tmp_path.glob("model.ckpt.data*"):
        file.unlink()
    with pytest.raises(
        InputFileError, match=r"model\.ckpt\.index and .* must be in the same folder"
    ):
        open_source(spec.source)


def lite_file(path: Path, *, quantized: bool = False) -> Path:
    tf = pytest.importorskip("tensorflow")
    keras.utils.set_random_seed(3)
    image = keras.Input((16, 24, 3), name="image", batch_size=1)
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(image)
    x = keras.layers.Conv2DTranspose(4, 2, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.Conv2D(1, 1, activation="sigmoid", name="map")(x)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, x))
    if quantized:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter([[np.ones((1, 16, 24, 3), np.float32)]])
    path.write_bytes(converter.convert())
    return path


def test_lite_files_convert_and_equal_the_interpreter(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = lite_file(tmp_path / "m.tflite")
    signature = open_source(SourceSpec(path=path)).signature()
    (entry,), (result,) = signature.inputs, signature.outputs
    assert entry.shape == (1, 16, 24, 3)
    spec = spec_for(path)
    spec = spec.model_copy(
        update={
            "input": spec.input.model_copy(update={"name": entry.name}),
            "output": spec.output.model_copy(update={"name": result.name}),
        }
    )
    source = open_source(spec.source)
    image = rng.uniform(-1, 1, (1, 3, 16, 24)).astype(np.float32)
    found = convert(source, spec)
    assert found.ops["Transpose"] == 0
    ours = runner_from_model(found.model, label="x", max_batch=1).run(image)
    theirs = baseline_runner(source, spec).run(image)
    assert theirs.std() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    with pytest.raises(SpecError, match=r"\[1, 16, 24, 3\].*\[1, 16, 32, 3\]"):
        source.to_onnx(entry.name, (1, 16, 32, 3), result.name)


def lite_recognizer(path: Path, *, batch: int | None, approximate: bool = False) -> Path:
    tf = pytest.importorskip("tensorflow")
    keras.utils.set_random_seed(6)
    layers = keras.layers
    image = keras.Input((8, 32, 1), batch_size=batch, name="image")
    x = layers.Reshape((-1, 8))(layers.Conv2D(8, (8, 1), activation="relu")(image))
    x = layers.Dense(16)(x)
    x = layers.Lambda(lambda v: keras.activations.gelu(v, approximate=approximate))(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 8)(x, x)])
    model = keras.Model(image, layers.Dense(11)(x))
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return path


def lite_recognizer_spec(path: Path) -> Any:
    signature = open_source(SourceSpec(path=path)).signature()
    return spec_from_dict(
        {
            "name": "m", "role": "recognizer", "source": {"path": path}, "charset": "abcdefghij",
            "output": {"name": signature.outputs[0].name},
            "input": {
                "name": signature.inputs[0].name, "shape": [1, 8, 32, 1], "color": "GRAY",
                "max_batch": 3,
            },
        }
    )  # fmt: skip


@pytest.mark.parametrize("approximate", [False, True])
def test_lite_transformer_with_a_free_batch_keeps_it(
    approximate: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    spec = lite_recognizer_spec(
        lite_recognizer(tmp_path / "m.tflite", batch=None, approximate=approximate)
    )
    source = open_source(spec.source)
    found = convert(source, spec)
    assert (found.ops["Gelu"], found.ops["Erf"], found.ops["Tanh"]) == (1, 0, 0)
    for batch in (1, 3):
        images = rng.standard_normal((batch, 1, 8, 32)).astype(np.float32)
        ours = runner_from_model(found.model, label="x", max_batch=3).run(images)
        theirs = baseline_runner(source, spec).run(images)
        assert theirs.std() > 0.1
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_lite_file_of_one_batch_size_runs_single_images(tmp_path: Path) -> None:
    spec = lite_recognizer_spec(lite_recognizer(tmp_path / "m.tflite", batch=1))
    found = convert(open_source(spec.source), spec)
    assert re.search(r"batch size 2: .* Reshape ", found.batch_limit)
    assert found.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    assert found.ops["Gelu"] == 1


def test_quantized_lite_file_is_refused(tmp_path: Path) -> None:
    path = lite_file(tmp_path / "m.tflite", quantized=True)
    with pytest.raises(InputFileError, match=r"quantized .* float model"):
        open_source(SourceSpec(path=path))


LAYERS = """
import keras

class Doubler(keras.layers.Layer):
    def call(self, x):
        return 2.0 * x
"""


def test_layers_of_the_users_own_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    (tmp_path / "own_layers.py").write_text(LAYERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    from own_layers import Doubler

    image = keras.Input((16, 24, 3), name="image")
    x = keras.layers.Conv2D(1, 1, activation="sigmoid", name="map")(Doubler()(image))
    keras.Model(image, x).save(tmp_path / "m.keras")
    monkeypatch.delitem(sys.modules, "own_layers")
    spec = spec_for(tmp_path / "m.keras", custom=["own_layers:Doubler"])
    source = open_source(spec.source)
    pixels = rng.uniform(-1, 1, (1, 3, 16, 24)).astype(np.float32)
    ours = runner_from_model(convert(source, spec).model, label="x", max_batch=1).run(pixels)
    np.testing.assert_allclose(ours, baseline_runner(source, spec).run(pixels), atol=1e-6)


@pytest.mark.parametrize(
    ("custom", "message"),
    [
        ("nowhere:Doubler", "names nowhere:Doubler, which cannot be imported: No module"),
        ("json:Doubler", "names json:Doubler, which cannot be imported: module 'json' has no"),
    ],
)
def test_layers_that_cannot_be_imported_are_named(
    tmp_path: Path, custom: str, message: str
) -> None:
    path = small_keras(tmp_path, "m.keras")
    with pytest.raises(InputFileError, match=message):
        open_source(SourceSpec(path=path, custom=(custom,)))


def test_subclassed_keras_model_is_refused_with_the_way_to_export_it(tmp_path: Path) -> None:
    class Network(keras.Model):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.head = keras.layers.Conv2D(1, 1)

        def call(self, image: Any) -> Any:
            return self.head(image)

    network = Network()
    network(np.zeros((1, 8, 8, 3), np.float32))
    network.save(tmp_path / "m.keras")
    with pytest.raises(InputFileError, match=r"Network.*states no inputs.*SavedModel"):
        open_source(SourceSpec(path=tmp_path / "m.keras"))


def test_signature_lists_inputs_and_outputs(detector_model: Path) -> None:
    found = open_source(SourceSpec(path=detector_model)).signature()
    assert [(i.name, i.shape) for i in found.inputs] == [("image", (None, None, None, 3))]
    assert [(o.name, o.dtype) for o in found.outputs] == [("output_0", "float32")]


def test_missing_names_are_listed(detector_model: Path) -> None:
    with pytest.raises(InputFileError, match="no signature named 'x'; it has: serv"):
        open_source(SourceSpec(path=detector_model, signature="x"))
    source = open_source(SourceSpec(path=detector_model))
    with pytest.raises(InputFileError, match="no input named 'photo'; it has: image"):
        source.function("photo", "output_0")
    with pytest.raises(InputFileError, match="no output named 'y'; it has: output_0"):
        source.function("image", "y")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nothing", None, "no such file or folder"),
        ("model.txt", b"x", "not a SavedModel folder"),
        ("model.onnx", b"not protobuf", "not a valid ONNX model"),
        ("model.onnx", b"", "not a valid ONNX model"),
        ("model.ckpt.meta", b"not protobuf", "TensorFlow cannot restore it"),
        ("model.tflite", b"not a flatbuffer", "not a TensorFlow Lite model"),
        ("model.pb", b"not protobuf", "not a frozen TensorFlow graph"),
        ("model.pb", b"", "not a frozen TensorFlow graph: it contains no nodes"),
        ("model.keras", b"not a zip", "not a Keras model file"),
        ("model.h5", b"not hdf5", "not a Keras model file"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputFileError, match=message):
        open_source(SourceSpec(path=path))


def test_folder_that_is_no_saved_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="not a SavedModel folder"):
        source_format(SourceSpec(path=tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"garbage")
    with pytest.raises(InputFileError, match="cannot load it as a SavedModel"):
        open_source(SourceSpec(path=tmp_path))


def test_lambda_layers_are_refused_unless_asked(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Lambda(lambda t: t * 2, name="doubler", output_shape=(8, 8, 3))(image)
    path = tmp_path / "model.keras"
    keras.Model(image, x).save(path)
    with pytest.raises(InputFileError, match=r"layers doubler run Python code .*allow_lambda"):
        open_source(SourceSpec(path=path))
    assert open_source(SourceSpec(path=path, allow_lambda=True)).signature().inputs


def test_lambda_in_an_hdf5_file_with_a_harmless_zip_behind_it_is_found(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Lambda(lambda t: t * 2, name="doubler", output_shape=(8, 8, 3))(image)
    path = tmp_path / "model.h5"
    keras.Model(image, x).save(path)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("config.json", "{}")
    path.write_bytes(path.read_bytes() + archive.getvalue())
    assert zipfile.is_zipfile(path)
    with pytest.raises(InputFileError, match="layers doubler run Python code"):
        open_source(SourceSpec(path=path))


def test_onnx_model_of_another_size_is_refused(tmp_path: Path) -> None:
    head = '<ir_version: 8, opset_import: ["" : 17]>'
    text = f"{head} g (float[1,3,64,96] x) => (float[1,3,64,96] y) {{ y = Relu(x) }}"
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    source = open_source(SourceSpec(path=tmp_path / "m.onnx"))
    assert source.to_onnx("x", (2, 3, 64, 96), "y").model.graph.input
    with pytest.raises(SpecError, match=r"\[1, 3, 64, 96\].*\[1, 3, 64, 100\]"):
        source.to_onnx("x", (1, 3, 64, 100), "y")


OLD_OPSETS = {
    "axes as attributes": (11, """
        m = ReduceMean <axes = [2, 3], keepdims = 1> (image)
        s = Squeeze <axes = [2, 3]> (m)
        u = Unsqueeze <axes = [2, 3]> (s)
        y = Sub (image, u)"""),
    "a split of given sizes": (12, """
        a, b = Split <axis = 1, split = [1, 2]> (image)
        y = Concat <axis = 1> (b, a)"""),
    "softmax over all that follows": (11, """
        y = Softmax <axis = 1> (image)"""),
    "old batch norm": (13, """
        k = Constant <value_floats = [1.0, 2.0, 3.0]> ()
        y = BatchNormalization (image, k, k, k, k)"""),
}  # fmt: skip


@pytest.mark.parametrize(("opset", "body"), OLD_OPSETS.values(), ids=OLD_OPSETS)
def test_onnx_files_of_old_opsets_convert(
    tmp_path: Path, opset: int, body: str, rng: np.random.Generator
) -> None:
    text = f"""<ir_version: 6, opset_import: ["" : {opset}]>
        g (float[N,3,H,W] image) => (float[N,seqlen] map) {{ {body} map = Identity(y) }}"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")  # the output's rank is wrong
    image = rng.uniform(-1, 1, (1, 3, 4, 6)).astype(np.float32)
    (theirs,) = onnx_session(str(tmp_path / "m.onnx")).run(None, {"image": image})
    spec = spec_for(tmp_path / "m.onnx")
    settings = spec.input.model_copy(update={"layout": "NCHW", "shape": (1, 3, 4, 6)})
    spec = spec.model_copy(update={"input": settings})
    found = convert(open_source(spec.source), spec)
    ours = runner_from_model(found.model, label="x", max_batch=1).run(image)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_onnx_file_of_too_old_an_opset_is_refused(tmp_path: Path) -> None:
    text = '<ir_version: 6, opset_import: ["" : 10]> g (float[2] x) => (float[2] y) {y = Relu(x)}'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    with pytest.raises(InputFileError, match=r"opset 10 .*11"):
        open_source(SourceSpec(path=tmp_path / "m.onnx"))


def test_graph_of_a_saved_model_is_chosen_by_its_tags(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    tf = pytest.importorskip("tensorflow")
    v1, path = tf.compat.v1, tmp_path / "m"
    builder = v1.saved_model.builder.SavedModelBuilder(str(path))
    for index, tags in enumerate((["train"], ["serve", "cpu"])):
        with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
            image = v1.placeholder(tf.float32, [None, None, None, 3], name="image")
            weight = v1.get_variable("weight", initializer=[float(index + 1)] * 3)
            y = tf.sigmoid(image * weight)
            session.run(v1.global_variables_initializer())
            signature = v1.saved_model.predict_signature_def({"image": image}, {"map": y})
            signatures = {"serving_default": signature}
            if index:
                builder.add_meta_graph(tags, signatures)
            else:
                builder.add_meta_graph_and_variables(session, tags, signatures)
    builder.save()
    with pytest.raises(InputFileError, match=r"have the tags train, .*serve.* \(source.tags\)"):
        open_source(SourceSpec(path=path))
    spec = spec_for(path, tags=["serve", "cpu"])
    pixels = rng.uniform(-1, 1, (1, 3, 16, 24)).astype(np.float32)
    source = open_source(spec.source)
    theirs = baseline_runner(source, spec).run(pixels)
    ours = runner_from_model(convert(source, spec).model, label="x", max_batch=1).run(pixels)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(theirs, 1 / (1 + np.exp(-pixels)), atol=1e-6)  # "train"'s values


def test_lambda_hidden_in_a_nested_model_is_found(tmp_path: Path) -> None:
    inner = {
        "class_name": "Functional",
        "config": {"layers": [{"class_name": "Lambda", "config": {"name": "deep"}}]},
    }
    config = {"class_name": "Functional", "config": {"layers": [inner]}}
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
    (tmp_path / "model.keras").write_bytes(data.getvalue())
    with pytest.raises(InputFileError, match="layers deep run Python code"):
        open_source(SourceSpec(path=tmp_path / "model.keras"))


@pytest.mark.parametrize(
    "config", [b"{", b"[" * 100_000, b"\xff"], ids=["broken", "too deep", "not text"]
)
def test_hostile_keras_archive_is_refused(tmp_path: Path, config: bytes) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
    with pytest.raises(InputFileError):
        open_source(SourceSpec(path=path))


def test_draft_fills_in_what_the_signature_leaves_open(
    detector_model: Path, recognizer_model: Path
) -> None:
    detector = draft_spec("detector", hints(detector_model))
    assert detector.input.shape == (1, 640, 640, 3)
    assert (detector.input.name, detector.output.name) == ("image", "output_0")
    recognizer = draft_spec("recognizer", hints(recognizer_model, mean=(127.5,), scale=(0.5,)))
    assert recognizer.input.shape == (1, 32, 320, 1)
    assert recognizer.input.color == "GRAY"
    assert recognizer.input.max_batch == 16
    assert (recognizer.input.mean, recognizer.input.scale) == ((127.5,), (0.5,))


def test_draft_needs_a_charset_that_fits(tmp_path: Path) -> None:
    image = keras.Input((32, 64, 1), name="image")
    keras.Model(image, keras.layers.Dense(8)(keras.layers.Reshape((64, 32))(image))).save(
        tmp_path / "m.keras"
    )
    with pytest.raises(InputFileError, match=r"has 8 classes.* --charset FILE.* 7 characters"):
        draft_spec("recognizer", hints(tmp_path / "m.keras"))
    with pytest.raises(SpecError, match="needs 7 characters besides the blank, got 3"):
        draft_spec("recognizer", hints(tmp_path / "m.keras", charset="abc"))
    spec = draft_spec("recognizer", hints(tmp_path / "m.keras", charset="abcdefg"))
    assert isinstance(spec, RecognizerSpec)
    assert spec.charset == "abcdefg"


def test_model_of_one_batch_size_is_drafted_so(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")

    class OneLine(tf.Module):  # Keras' own export frees the batch
        @tf.function(input_signature=[tf.TensorSpec([1, 32, 64, 1], tf.float32, name="image")])
        def read(self, image: Any) -> dict[str, Any]:
            columns = tf.reshape(tf.transpose(image, [0, 2, 1, 3]), [1, 64, 32])
            return {"logits": tf.matmul(columns, tf.ones([1, 32, 37]))}

    model = OneLine()
    tf.saved_model.save(model, str(tmp_path / "m"), signatures=model.read)
    spec = draft_spec("recognizer", hints(tmp_path / "m"))
    assert spec.input.max_batch == 1
    source = open_source(spec.source)
    assert convert(source, spec).ops["MatMul"] == 1
    found = convert(source, with_max_batch(spec, 4))
    assert "of shape [2, 32, 64, 1]: TypeError: " in found.batch_limit
    assert found.ops["MatMul"] == 1


def test_draft_for_the_wrong_role_lists_the_outputs(detector_model: Path) -> None:
    with pytest.raises(InputFileError, match="a recognizer requires a float output of rank 3"):
        draft_spec("recognizer", hints(detector_model))
    with pytest.raises(InputFileError, match="no input named 'nothing'; it has: image"):
        draft_spec("detector", hints(detector_model, input=("nothing", (1, 8, 8, 3))))
