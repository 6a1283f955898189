"""Errors of Keras and TensorFlow name the layer; kernels that a CPU lacks are no error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_trt.builder.convert import convert_sizes
from ocr_trt.common.progress import SilentReporter
from ocr_trt.convert.draft import draft_spec
from ocr_trt.convert.hints import Hints
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import ConversionError, InputFileError
from ocr_trt.spec import SourceSpec

keras = pytest.importorskip("keras")


def saved(path: Path, *layers: Any) -> SourceSpec:
    image = keras.Input((8, 12, 3), name="image")
    x = image
    for layer in layers:
        x = layer(x)
    keras.Model(image, x).save(path)
    return SourceSpec(path=path)


def test_layer_that_cannot_be_traced_is_named(tmp_path: Path) -> None:
    # glu halves the channels; Keras checks only when it runs that there are two halves.
    bad = keras.layers.Conv2D(3, 1, activation="glu", name="gated")
    source = open_source(saved(tmp_path / "m.keras", keras.layers.ReLU(), bad))
    with pytest.raises(ConversionError, match=r"layer gated \(Conv2D\): .*divisible by 2.*output"):
        source.to_onnx("image", (1, 8, 12, 3), "output_0")


def test_layer_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    # Keras saves a range that it does not accept.
    shear = keras.layers.RandomShear(0.1, 0.1, name="sheared")
    with pytest.raises(InputFileError, match=r"layer sheared \(RandomShear\): The `factor`.*model"):
        open_source(saved(tmp_path / "m.keras", shear))


def test_node_that_cannot_run_is_named(tmp_path: Path) -> None:
    import tensorflow as tf

    class Net(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3], name="image")])
        def __call__(self, image: Any) -> dict[str, Any]:
            row = tf.cast(tf.reduce_max(image) * 0 + 9, tf.int32)
            return {"map": image * tf.gather(image, [row], axis=1, name="row_9")}

    tf.saved_model.save(Net(), str(tmp_path / "m"))
    spec = draft_spec("detector", Hints(source=SourceSpec(path=tmp_path / "m")))
    with pytest.raises(ConversionError, match=r"row_9.*: indices.*9.*output.name"):
        baseline_runner(open_source(spec.source), spec)


def test_transposed_convolution_with_dilations_converts(tmp_path: Path) -> None:
    """TensorFlow has no CPU kernel for it in float16, so the baseline is the exported graph."""
    layer = keras.layers.Conv2DTranspose(
        1, 3, dilation_rate=2, padding="valid", use_bias=False, dtype="mixed_float16"
    )
    spec = draft_spec("detector", Hints(source=saved(tmp_path / "m.keras", layer)))
    source = open_source(spec.source)
    graph = convert_sizes(source, spec, SilentReporter()).graphs[spec.input.size]
    runner = runner_from_model(graph, label="graph", max_batch=1)
    image = np.random.default_rng(0).normal(0, 1, (1, 3, 8, 12)).astype(np.float32)
    # Each input pixel adds the kernel (3, 3, 1, 3), with gaps of 2, to the output (12, 16).
    expected, kernel = np.zeros((12, 16), np.float32), np.asarray(layer.kernel)[:, :, 0]
    for (row, column), weights in zip(np.ndindex(3, 3), kernel.reshape(9, 3), strict=True):
        part = np.tensordot(weights, image[0], 1)  # (8, 12)
        expected[2 * row : 2 * row + 8, 2 * column : 2 * column + 12] += part
    np.testing.assert_allclose(runner.run(image)[0, 0], expected, atol=0.01)
    baseline = baseline_runner(source, spec)
    assert "on a CPU" in baseline.note
    np.testing.assert_allclose(baseline.run(image)[0, 0], expected, atol=0.01)
