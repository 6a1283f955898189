"""Layer normalizations of images of height 1, whose Transposes tf2onnx wrote as wrong Reshapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .helpers import evaluated, traced

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")


def test_layer_norm_behind_a_convolution_of_height_1(rng: np.random.Generator) -> None:
    keras.utils.set_random_seed(2)
    layers = keras.layers
    image = layers.Input((8, 20, 3), batch_size=1)
    columns = layers.Dense(1)(layers.Permute((2, 3, 1))(image))  # (1, 20, 3, 1)
    line = layers.Permute((3, 1, 2))(columns)  # (1, 1, 20, 3)
    normal = layers.LayerNormalization()(layers.Conv2D(3, 1)(line))
    result = keras.ops.mean(layers.Maximum()([line, normal]), axis=1)
    model = keras.Model(image, layers.Dense(9)(result))

    def function(x: Any) -> Any:
        return model(x)

    x = rng.standard_normal((1, 8, 20, 3)).astype(np.float32)
    found = evaluated(traced(function, x.shape), x)
    np.testing.assert_allclose(found, model(x).numpy(), atol=1e-5)
