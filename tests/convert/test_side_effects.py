"""Models that write variables or draw random numbers when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_trt.convert.draft import draft_spec
from ocr_trt.convert.hints import Hints
from ocr_trt.convert.invariants import check_ops
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import ConversionError
from ocr_trt.spec import SourceSpec, with_max_batch

from .helpers import graph

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
layers = keras.layers


def network(*tail: Any, batch: int | None = None) -> Any:
    """Columns of an image, 4 x 16 pixels, then ``tail``; (N, 16, 37)."""
    keras.utils.set_random_seed(6)
    image = keras.Input((4, 16, 1), batch_size=batch, name="image")
    x = layers.Reshape((16, 4))(layers.Permute((2, 1, 3))(image))
    for layer in tail:
        x = layer(x)
    return keras.Model(image, layers.Dense(37)(x))


def written(model: Any, folder: Path, suffix: str) -> Path:
    path = folder / f"model{suffix}"
    if suffix:
        model.save(path)
    else:
        model.export(path, format="tf_saved_model", verbose=False)
    return path


def check_converts(path: Path, batch: int) -> None:
    """Convert, and compare with TensorFlow on two images: the second must not see the first."""
    spec = draft_spec("recognizer", Hints(source=SourceSpec(path=path)))
    spec = with_max_batch(spec, batch)
    source = open_source(spec.source)
    ours = runner_from_model(convert(source, spec).model, label="", max_batch=batch)
    theirs = baseline_runner(source, spec)
    rng = np.random.default_rng(0)
    for _ in range(2):
        image = rng.uniform(-1, 1, (batch, *ours.shape)).astype(np.float32)
        expected = theirs.run(image)
        assert expected.std() > 0.01
        np.testing.assert_allclose(ours.run(image), expected, atol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""])
def test_seeds_of_dropout_are_left_out(tmp_path: Path, suffix: str) -> None:
    lstm = layers.LSTM(5, return_sequences=True, dropout=0.2, recurrent_dropout=0.1)
    check_converts(written(network(layers.Bidirectional(lstm)), tmp_path, suffix), 2)


class Remembering(layers.Layer):
    """Adds the mean of the image before."""

    def build(self, shape: Any) -> None:
        self.mean = self.add_weight(shape=(), initializer="ones", trainable=False, name="mean")

    def call(self, x: Any) -> Any:
        y = x + self.mean
        self.mean.assign(tf.reduce_mean(x))
        return y

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


def test_every_image_starts_with_the_state_in_the_file(tmp_path: Path) -> None:
    stateful = layers.GRU(5, return_sequences=True, stateful=True)
    check_converts(written(network(stateful, batch=1), tmp_path, ".keras"), 1)
    check_converts(written(network(Remembering()), tmp_path, ""), 1)


class Counting(layers.Layer):
    """Multiplies by the number of the call."""

    def build(self, shape: Any) -> None:
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def call(self, x: Any) -> Any:
        self.count.assign_add(1.0)
        return x * self.count

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


class Noisy(layers.Layer):
    """Adds noise in inference too."""

    def call(self, x: Any) -> Any:
        return x + tf.random.normal(tf.shape(x))

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


class Flipping(layers.Layer):
    """Flips about every second image."""

    def call(self, x: Any) -> Any:
        return tf.where(tf.random.uniform([]) < 0.5, x, -x)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


@pytest.mark.parametrize(
    ("layer", "facts"),
    [
        (Counting, ("counting", "writes a variable")),
        (Noisy, ("noisy", "random", "training=False")),
        (Flipping, ("flipping", "random", "training=False")),
    ],
)
def test_results_that_differ_are_refused(tmp_path: Path, layer: Any, facts: Any) -> None:
    path = written(network(layer(name=layer.__name__.lower())), tmp_path, "")
    with pytest.raises(ConversionError) as caught:
        # The draft runs and converts the model too, and may be refused already.
        spec = draft_spec("recognizer", Hints(source=SourceSpec(path=path)))
        convert(open_source(spec.source), spec)
    assert all(fact in str(caught.value) for fact in facts)


def test_random_ops_of_onnx_are_refused() -> None:
    model = graph(
        "agraph (float[2,3] x) => (float[2,3] y) { n = RandomNormalLike(x) y = Add(x, n) }"
    )
    with pytest.raises(ConversionError, match="random"):
        check_ops(model)


@pytest.mark.parametrize("op", ["Erfc", "TFL_GELU"])
def test_tensorflow_ops_in_an_onnx_file_are_refused_with_the_way_out(op: str) -> None:
    model = graph("agraph (float[2,3] x) => (float[2,3] y) { y = Neg(x) }")
    node = model.graph.node(0)
    node.op_type, node.name = op, "layer/act"
    with pytest.raises(ConversionError) as caught:
        check_ops(model)
    for fact in (op, "layer/act", "TensorFlow or TFLite model"):
        assert fact in str(caught.value)
