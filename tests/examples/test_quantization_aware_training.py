"""The example of quantization-aware training: what its model rounds, and its gradients."""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

EXAMPLE = Path(__file__).parents[2] / "examples" / "quantization_aware_training.py"


@pytest.fixture(scope="module")
def example() -> Any:
    spec = util.spec_from_file_location(EXAMPLE.stem, EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small_model() -> Any:
    keras.utils.set_random_seed(0)
    image = keras.Input((4, 4, 2), name="image")
    x = keras.layers.Conv2D(3, 3, padding="same")(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dense(5)(keras.layers.Flatten()(x))
    return keras.Model(image, x)


@pytest.mark.parametrize("levels", [63, 127])
def test_kernels_have_so_many_levels(levels: int, example: Any) -> None:
    model = small_model()
    rounded = example.rounding_model(model, levels)
    for layer in model.layers:
        if layer.name.startswith(("conv", "dense")):
            before, after = (np.asarray(m.get_layer(layer.name).kernel) for m in (model, rounded))
            scale = np.abs(before).max(tuple(range(before.ndim - 1))) / levels
            np.testing.assert_allclose(after, np.round(before / scale) * scale, atol=1e-6)


def test_training_sets_the_ranges_and_reaches_the_weights(
    example: Any, rng: np.random.Generator
) -> None:
    model = small_model()
    rounded = example.rounding_model(model, 127)
    images = rng.standard_normal((8, 4, 4, 2)).astype(np.float32)
    rounded(images, training=True)
    first = next(each for each in rounded.layers if isinstance(each, example.FakeQuantize))
    assert float(first.peak) == pytest.approx(np.abs(images).max())
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(rounded(images, training=True) ** 2)
    gradients = tape.gradient(loss, rounded.trainable_variables)
    assert all(np.abs(np.asarray(gradient)).max() > 0 for gradient in gradients)
    difference = np.asarray(rounded(images)) - np.asarray(model(images))
    assert 0 < np.abs(difference).max() < 0.2
