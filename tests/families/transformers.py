"""Recognizers with attention: (N, 32, W, 1) to logits (N, T, 37)."""

from __future__ import annotations

from typing import Any

from .blocks import conv, with_random_weights
from .recognizers import CLASSES, _columns


def _mlp(x: Any, width: int, activation: Any = "gelu") -> Any:
    from keras import layers

    return layers.Dense(x.shape[-1])(layers.Dense(width, activation=activation)(x))


def vit_str() -> Any:
    """Patches, a class token, learned positions, pre-norm blocks with exact GELU."""
    import keras
    from keras import layers

    class Tokens(layers.Layer):
        def build(self, shape: Any) -> None:
            self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")
            self.places = self.add_weight(shape=(1, shape[1] + 1, shape[-1]), name="places")

        def call(self, x: Any) -> Any:
            token = keras.ops.tile(self.token, (keras.ops.shape(x)[0], 1, 1))
            return keras.ops.concatenate([token, x], 1) + self.places

    image = keras.Input((32, 96, 1), name="image")
    x = layers.Reshape((-1, 24))(layers.Conv2D(24, (8, 8), (8, 8))(image))
    x = Tokens()(x)
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(3, 8)(y, y)])
        x = layers.Add()([x, _mlp(layers.LayerNormalization(epsilon=1e-6)(x), 48)])
    x = layers.LayerNormalization(epsilon=1e-6)(x)[:, :12]
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))


def svtr() -> Any:
    """Local mixing blocks with a neighborhood mask, global mixing blocks, height merging."""
    import keras
    import numpy as np
    import tensorflow as tf
    from keras import layers

    class Mixer(layers.Layer):
        def __init__(self, grid: tuple[int, int], *, local: bool) -> None:
            super().__init__()
            self.project, self.out = layers.Dense(48), layers.Dense(16)
            self.mask = None
            if local:
                rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
                far = (np.abs(rows[:, None] - rows) > 3) | (np.abs(columns[:, None] - columns) > 5)
                self.mask = np.where(far, -np.inf, 0.0).astype(np.float32)

        def call(self, x: Any) -> Any:
            length = x.shape[1]
            qkv = tf.reshape(self.project(x), [-1, length, 3, 2, 8])
            q, k, v = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]))
            scores = tf.matmul(q * 8**-0.5, k, transpose_b=True)
            if self.mask is not None:
                scores += self.mask
            mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), v), [0, 2, 1, 3])
            return self.out(tf.reshape(mixed, [-1, length, 16]))

    image = keras.Input((32, 96, 1), name="image")
    x = conv(conv(image, 8, stride=2), 16, stride=2)
    for rows in (8, 4):
        x = layers.Reshape((rows * 24, 16))(x)
        for local in (True, False):
            y = layers.LayerNormalization(epsilon=1e-6)(x)
            x = layers.Add()([x, Mixer((rows, 24), local=local)(y)])
            x = layers.Add()([x, _mlp(layers.LayerNormalization(epsilon=1e-6)(x), 32)])
        x = layers.Reshape((rows, 24, 16))(x)
        x = layers.Conv2D(16, 3, (2, 1), "same")(x)
        x = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.AveragePooling2D((2, 1))(x)
    x = layers.Activation("hard_swish")(layers.Dense(16)(layers.Reshape((24, 16))(x)))
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))


def post_norm() -> Any:
    """Post-norm transformer blocks, ReLU, sinusoidal positions, no fixed width."""
    import keras
    from keras import layers

    from ocr_trt.models.keras_layers import SinusoidalPositions

    image = keras.Input((32, None, 1), name="image")
    x = SinusoidalPositions()(_columns(image))
    for _ in range(2):
        x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 12)(x, x)]))
        x = layers.LayerNormalization()(layers.Add()([x, _mlp(x, 48, "relu")]))
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))


def relative_positions() -> Any:
    """Learned attention bias per distance; tanh GELU; RMS norm; einsum."""
    import keras
    import tensorflow as tf
    from keras import layers

    class Attention(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.out = (
                layers.EinsumDense(e, s, bias_axes=b)
                for e, s, b in [("btc,chd->bhtd", (2, None, 12), "hd")] * 3
                + [("bhtd,hdc->btc", (None, 24), "c")]
            )

        def build(self, shape: Any) -> None:
            self.bias = self.add_weight(shape=(2, 2 * shape[1] - 1), name="distances")
            for layer in (self.query, self.key, self.value):
                layer.build(shape)
            self.out.build((shape[0], 2, shape[1], 12))

        def call(self, x: Any) -> Any:
            length = x.shape[1]
            places = tf.range(length)
            distances = places[None, :] - places[:, None] + length - 1
            scores = tf.einsum("bhqd,bhkd->bhqk", self.query(x), self.key(x)) / 12**0.5
            scores += tf.gather(self.bias, distances, axis=1)
            return self.out(tf.einsum("bhqk,bhkd->bhqd", tf.nn.softmax(scores), self.value(x)))

        def compute_output_spec(self, x: Any) -> Any:
            return keras.KerasTensor(x.shape, x.dtype)

    image = keras.Input((32, 96, 1), name="image")
    x = _columns(image)
    for _ in range(2):
        x = layers.Add()([x, Attention()(layers.RMSNormalization()(x))])
        gelu = layers.Dense(48, activation=lambda v: keras.ops.gelu(v, approximate=True))
        x = layers.Add()([x, layers.Dense(24)(gelu(layers.RMSNormalization()(x)))])
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))


def masked_by_width() -> Any:
    """Attention with a mask of padding columns, which is computed from the image."""
    import keras
    import tensorflow as tf
    from keras import layers

    class Mask(layers.Layer):
        def call(self, image: Any) -> Any:
            filled = tf.reduce_any(tf.abs(image) > 1e-3, axis=[1, 3])
            columns = tf.reduce_any(tf.reshape(filled, [-1, 24, 4]), axis=-1)
            return columns[:, None, :]

        def compute_output_spec(self, image: Any) -> Any:
            return keras.KerasTensor((image.shape[0], 1, 24), "bool")

    image = keras.Input((32, 96, 1), name="image")
    mask, x = Mask()(image), _columns(image)
    y = layers.MultiHeadAttention(2, 12)(x, x, attention_mask=mask)
    x = layers.LayerNormalization()(layers.Add()([x, y]))
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))
