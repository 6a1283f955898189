"""CudnnRNN is written out as loops and compared with Keras layers of the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.recurrent.cudnn import without_cudnn
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import ConversionError
from ocr_trt.spec import SourceSpec, spec_from_dict

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
v1 = tf.compat.v1

UNITS, CLASSES = 6, 11
MODES = {"lstm": (keras.layers.LSTM, 4, (0, 1, 2, 3)), "gru": (keras.layers.GRU, 3, (1, 0, 2))}
"""Keras' layer, gates, and the place of each of cuDNN's gates in Keras' kernels."""


def flat(model: Any, mode: str) -> np.ndarray:
    """Pack a Keras model's weights as Keras packs those of one layer for its GPU kernels."""
    from keras.src.backend.tensorflow.rnn import _standardize_cudnn_weights

    _, gates, order = MODES[mode]
    arrays = [np.asarray(weight) for weight in model.weights]
    matrices, biases = [], []
    for kernel, recurrent, bias in zip(arrays[::3], arrays[1::3], arrays[2::3], strict=True):
        for matrix in (kernel, recurrent):
            parts = np.split(matrix, gates, 1)
            matrices += [tf.constant(parts[i]) for i in order]
        rows = bias if bias.ndim == 2 else [np.zeros_like(bias), bias]
        for row in rows:
            parts = np.split(row, gates)
            biases += [tf.constant(parts[i]) for i in order]
    shape = tf.constant([-1])
    return _standardize_cudnn_weights(matrices, biases, shape, transpose_weights=True).numpy()


def layers(mode: str, *, both: bool, count: int, size: int = 8) -> Any:
    """A Keras model (N, T, size) -> (N, T, units) of recurrent layers alone."""
    kind = MODES[mode][0]
    made = [
        kind(UNITS, return_sequences=True, bias_initializer="random_normal") for _ in range(count)
    ]
    wrapped = [keras.layers.Bidirectional(layer) if both else layer for layer in made]
    return keras.Sequential([keras.Input((None, size)), *wrapped])


def cudnn(x: Any, params: np.ndarray, mode: str, *, rows: int, both: bool, **more: Any) -> Any:
    """The op itself, from (N, T, 8) to (N, T, units)."""
    turned = v1.transpose(x, [1, 0, 2])
    zeros = v1.zeros([rows, v1.shape(turned)[1], UNITS])
    state = v1.ensure_shape(zeros, [rows, None, UNITS])
    outputs = tf.raw_ops.CudnnRNNV2(
        input=turned, input_h=state, input_c=state, params=tf.constant(params), rnn_mode=mode,
        direction="bidirectional" if both else "unidirectional", is_training=False, **more,
    )  # fmt: skip
    return v1.transpose(outputs[0], [1, 0, 2])


@pytest.mark.parametrize(
    ("both", "count"),
    [
        pytest.param(False, 1, id="forward, one layer", marks=pytest.mark.full),
        pytest.param(False, 2, id="forward, two layers", marks=pytest.mark.full),
        pytest.param(True, 1, id="both ways, one layer", marks=pytest.mark.full),
        pytest.param(True, 2, id="both ways, two layers"),
    ],
)
@pytest.mark.parametrize("mode", ["lstm", "gru"])
def test_written_out_op_equals_keras(
    mode: str, both: bool, count: int, rng: np.random.Generator
) -> None:
    keras.utils.set_random_seed(3)
    model = layers(mode, both=both, count=count)
    params, rows = flat(model, mode), count * (2 if both else 1)
    with v1.Graph().as_default() as made:
        x = v1.placeholder("float32", [None, None, 8], name="x")
        v1.identity(cudnn(x, params, mode, rows=rows, both=both), name="y")
    found = without_cudnn(made.as_graph_def())
    assert not any(node.op.startswith("Cudnn") for node in found.node)
    call = v1.wrap_function(lambda: v1.import_graph_def(found, name=""), [])
    image = tf.constant(rng.standard_normal((3, 9, 8)).astype(np.float32))
    expected = np.asarray(model(image))
    assert expected.std() > 0.01
    np.testing.assert_allclose(call.prune("x:0", "y:0")(image), expected, atol=1e-6)


def recognizer(path: Path) -> Any:
    """A frozen CRNN whose two ops follow each other; return the same model with Keras layers."""
    keras.utils.set_random_seed(4)
    kernel = np.random.default_rng(1).normal(0, 0.3, (8, 2, 1, 8)).astype(np.float32)
    dense = np.random.default_rng(2).normal(0, 0.4, (2 * UNITS, CLASSES)).astype(np.float32)
    first = layers("lstm", both=True, count=1)
    second = layers("gru", both=True, count=1, size=2 * UNITS)
    params = flat(first, "lstm"), flat(second, "gru")

    def columns(image: Any) -> Any:
        x = tf.nn.relu(tf.nn.conv2d(image, kernel, [1, 8, 2, 1], "VALID"))
        return tf.squeeze(x, 1)

    with v1.Graph().as_default() as made:
        image = v1.placeholder("float32", [None, 8, None, 1], name="image")
        x = cudnn(columns(image), params[0], "lstm", rows=2, both=True)
        x = cudnn(x, params[1], "gru", rows=2, both=True)
        logits = v1.matmul(v1.reshape(x, [-1, 2 * UNITS]), dense)
        v1.reshape(logits, [v1.shape(x)[0], -1, CLASSES], name="logits")
    path.write_bytes(made.as_graph_def().SerializeToString())
    return lambda image: tf.matmul(second(first(columns(image))), dense).numpy()


def test_recognizer_from_a_gpu_converts_to_lstm_and_gru(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    theirs = recognizer(tmp_path / "crnn.pb")
    spec = spec_from_dict(
        {
            "name": "crnn", "role": "recognizer", "source": {"path": tmp_path / "crnn.pb"},
            "input": {
                "name": "image", "shape": [1, 8, 32, 1], "color": "GRAY", "max_batch": 3,
            },
            "output": {"name": "logits"}, "charset": "abcdefghij",
        }
    )  # fmt: skip
    source = open_source(spec.source)
    found = convert(source, spec)
    assert (found.ops["LSTM"], found.ops["GRU"], found.ops["Loop"]) == (1, 1, 0)
    images = rng.standard_normal((3, 1, 8, 32)).astype(np.float32)
    expected = theirs(tf.constant(images.transpose(0, 2, 3, 1)))
    assert expected.std() > 0.05
    ours = runner_from_model(found.model, label="x", max_batch=3).run(images)
    np.testing.assert_allclose(ours, expected, atol=2e-6)
    np.testing.assert_allclose(baseline_runner(source, spec).run(images), expected, atol=2e-6)


def test_saved_model_with_the_op_converts(tmp_path: Path, rng: np.random.Generator) -> None:
    model = layers("lstm", both=False, count=1)
    params = flat(model, "lstm")

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 1, None, 8], tf.float32, "image")])
        def read(self, image: Any) -> Any:
            return {"y": cudnn(tf.squeeze(image, 1), params, "lstm", rows=1, both=False)}

    module = Module()
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={"serving_default": module.read})
    source = open_source(SourceSpec(path=tmp_path / "m"))
    pixels = rng.standard_normal((2, 1, 7, 8)).astype(np.float32)
    found = source.function("image", "y")(tf.constant(pixels)).numpy()
    np.testing.assert_allclose(found, np.asarray(model(pixels[:, 0])), atol=1e-6)
    assert source.to_onnx("image", (2, 1, 7, 8), "y").model.graph.node


@pytest.mark.parametrize(
    ("mode", "more", "message"),
    [
        ("rnn_relu", {}, "mode rnn_relu.*lstm or gru"),
        ("lstm", {"input_mode": "skip_input"}, "skip_input.*linear_input"),
    ],
)
def test_unknown_kinds_are_refused(mode: str, more: dict, message: str) -> None:
    with v1.Graph().as_default() as made:
        x = v1.placeholder("float32", [None, None, 8], name="x")
        cudnn(x, np.zeros(1000, np.float32), mode, rows=1, both=False, **more)
    with pytest.raises(ConversionError, match=message):
        without_cudnn(made.as_graph_def())
