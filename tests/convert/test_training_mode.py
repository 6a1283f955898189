"""Models whose batch normalizations use the statistics of the batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import ConversionError
from ocr_trt.spec import DetectorSpec, RecognizerSpec, spec_from_dict

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
layers = keras.layers

FACTS = ("training mode", "batch_normalization", "depends on the other images", "training=False")


def network(resize: Callable[[Any], Any]) -> Any:
    """Return a map of (N, 16, 24, 3) images whose batch normalization stands behind ``resize``."""
    keras.utils.set_random_seed(4)
    image = keras.Input((16, 24, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same")(resize(image))
    x = layers.ReLU()(layers.BatchNormalization(moving_mean_initializer="random_normal")(x))
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x))


def spec_of(path: Path, output: str) -> DetectorSpec | RecognizerSpec:
    return spec_from_dict(
        {
            "name": "unet",
            "role": "detector",
            "source": {"path": path},
            "input": {"name": "image", "shape": [1, 16, 24, 3], "color": "RGB"},
            "output": {"name": output},
        }
    )


def check_equals(path: Path, output: str, expected: Callable[[Any], Any] | None = None) -> None:
    """Convert, and compare with TensorFlow, or else with ``expected`` of (1, H, W, C) images."""
    spec = spec_of(path, output)
    source = open_source(spec.source)
    ours = runner_from_model(convert(source, spec).model, label="", max_batch=1)
    image = np.random.default_rng(0).uniform(-1, 1, (1, *ours.shape)).astype(np.float32)
    theirs = baseline_runner(source, spec).run(image)
    assert theirs.std() > 0.01
    np.testing.assert_allclose(ours.run(image), theirs, atol=1e-5)
    if expected is not None:
        predicted = np.asarray(expected(image.transpose(0, 2, 3, 1)))
        np.testing.assert_allclose(theirs.reshape(predicted.shape), predicted, atol=1e-5)


def check_refused(path: Path, output: str, *facts: str) -> None:
    spec = spec_of(path, output)
    with pytest.raises(ConversionError) as caught:
        convert(open_source(spec.source), spec)
    assert all(fact in str(caught.value) for fact in facts), str(caught.value)


def test_layers_behind_resizing_are_exported_in_training_mode(tmp_path: Path) -> None:
    model = network(layers.Resizing(8, 12))
    model.export(tmp_path / "model", format="tf_saved_model", verbose=False)
    check_refused(tmp_path / "model", "output_0", *FACTS, "Resizing", "add_endpoint")
    # The ways out that the message states.
    model.save(tmp_path / "model.keras")
    check_equals(tmp_path / "model.keras", model.output_names[0], model.predict)
    archive = keras.export.ExportArchive()
    archive.track(model)
    entry = keras.InputSpec(shape=(None, 16, 24, 3), dtype="float32", name="image")
    archive.add_endpoint("serve", lambda x: model(x, training=False), [entry])
    archive.write_out(tmp_path / "again", verbose=False)
    check_equals(tmp_path / "again", "output_0", model.predict)


def test_resizing_in_inference_mode_converts(tmp_path: Path) -> None:
    model = network(lambda image: layers.Resizing(8, 12)(image, training=False))
    model.export(tmp_path / "model", format="tf_saved_model", verbose=False)
    check_equals(tmp_path / "model", "output_0", model.predict)


class CallsInTraining(tf.Module):
    """A network, called in training mode by mistake."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network(layers.Identity())

    @tf.function(input_signature=[tf.TensorSpec((None, 16, 24, 3), tf.float32, name="image")])
    def __call__(self, image: Any) -> Any:
        return {"map": self.network(image, training=True)}


def test_call_in_training_mode_is_refused(tmp_path: Path) -> None:
    module = CallsInTraining()
    tf.saved_model.save(module, tmp_path / "model", signatures=module.__call__)
    check_refused(tmp_path / "model", "map", *FACTS)


def frozen(path: Path, network: Callable[[Any], Any]) -> Path:
    """Write a graph of TensorFlow 1 from "image", (N, 16, 24, 3), to "map"."""
    v1 = tf.compat.v1
    kernel = np.random.default_rng(1).standard_normal((3, 3, 3, 2)).astype(np.float32)
    with v1.Graph().as_default() as graph:
        image = v1.placeholder(tf.float32, (None, 16, 24, 3), "image")
        x = network(tf.nn.conv2d(image, kernel, 1, "SAME"))
        tf.reduce_mean(tf.sigmoid(x), -1, keepdims=True, name="map")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


@pytest.mark.parametrize("is_training", [True, False])
def test_fused_batch_norm(is_training: bool, tmp_path: Path) -> None:
    moving: dict[str, Any] = {} if is_training else {"mean": [0.1, 0.2], "variance": [1.0, 2.0]}

    def norm(x: Any) -> Any:
        return tf.compat.v1.nn.fused_batch_norm(
            x, [1.0, 2.0], [0.5, 1.0], **moving, is_training=is_training, name="norm/fused"
        )[0]

    path = frozen(tmp_path / "model.pb", norm)
    if is_training:
        check_refused(path, "map", "norm", "training mode", "training=False")
    else:
        check_equals(path, "map")


def test_layer_norm_of_keras_2_by_a_fused_batch_norm(tmp_path: Path) -> None:
    def norm(x: Any) -> Any:
        count = tf.reduce_prod(tf.shape(x)[:3])
        rows = tf.reshape(x, (1, count, 2, 1))
        rows, _, _ = tf.compat.v1.nn.fused_batch_norm(
            rows, tf.ones([count]), tf.zeros([count]), data_format="NCHW"
        )
        return tf.reshape(rows, tf.shape(x)) * [1.0, 3.0]

    check_equals(frozen(tmp_path / "model.pb", norm), "map")


class Averaging(layers.Layer):
    """Keeps a mean over all images that its result does not depend on."""

    def build(self, shape: Any) -> None:
        self.mean = self.add_weight(shape=(shape[-1],), trainable=False, name="mean")

    def call(self, x: Any) -> Any:
        self.mean.assign(0.9 * self.mean + 0.1 * tf.reduce_mean(x, (0, 1, 2)))
        return x

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


def test_statistics_that_the_result_does_not_use_are_left_out(tmp_path: Path) -> None:
    model = network(Averaging())
    model.export(tmp_path / "model", format="tf_saved_model", verbose=False)
    check_equals(tmp_path / "model", "output_0")


def by_own_moments(path: Path, batch: int | None, axes: list[int]) -> DetectorSpec | RecognizerSpec:
    """Write a frozen graph that normalizes by its own moments; return its spec."""
    v1 = tf.compat.v1
    with v1.Graph().as_default() as graph:
        x = v1.placeholder("float32", [batch, 16, 24, 3], name="image")
        with v1.name_scope("block"):
            mean, variance = tf.nn.moments(x, axes, keepdims=True)
            x = tf.nn.batch_normalization(x, mean, variance, None, None, 1e-3)
        tf.sigmoid(tf.reduce_max(x, -1, keepdims=True), name="map")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return spec_of(path, "map")


def test_moments_of_a_batch_in_a_frozen_graph_are_refused(tmp_path: Path) -> None:
    spec = by_own_moments(tmp_path / "m.pb", None, [0, 1, 2])
    with pytest.raises(ConversionError) as caught:
        convert(open_source(spec.source), spec)
    assert all(fact in str(caught.value) for fact in ("block", "training mode"))


@pytest.mark.parametrize(("batch", "axes"), [(1, [0, 1, 2]), (None, [1, 2]), (None, [3])])
def test_moments_of_one_image_in_a_frozen_graph_convert(
    tmp_path: Path, batch: int | None, axes: list[int]
) -> None:
    by_own_moments(tmp_path / "m.pb", batch, axes)
    check_equals(tmp_path / "m.pb", "map")
