"""Models that attend over patches of an image: maps (N, 64, 96, 1), logits (N, T, 37)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .blocks import conv, with_random_weights
from .recognizers import CLASSES


def _norm() -> Any:
    from keras import layers

    return layers.LayerNormalization(epsilon=1e-6)


def _mlp(x: Any, width: int, activation: str = "gelu") -> Any:
    """Return x + MLP(norm(x))."""
    from keras import layers

    y = layers.Dense(width, activation=activation)(_norm()(x))
    return layers.Add()([x, layers.Dense(x.shape[-1])(y)])


def _map(image: Any, x: Any, scale: int) -> Any:
    """Return the model from the image to a text map, ``scale`` times as large as x."""
    import keras
    from keras import layers

    x = layers.UpSampling2D(scale, interpolation="bilinear")(x)
    x = layers.Conv2D(1, 1, activation="sigmoid")(x)
    return with_random_weights(keras.Model(image, x))


def _relative_places(window: tuple[int, int]) -> np.ndarray:
    """Return the number of the distance between each two places of a window, (A B, A B)."""
    rows, columns = np.divmod(np.arange(window[0] * window[1]), window[1])
    down = rows[:, None] - rows + window[0] - 1
    across = columns[:, None] - columns + window[1] - 1
    return down * (2 * window[1] - 1) + across


def _swin_block(grid: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]) -> Any:
    """Return a layer that attends within windows of an image, shifted or not."""
    import tensorflow as tf
    from keras import layers

    a, b = window
    tall, wide = grid[0] // a, grid[1] // b

    def windows(x: Any) -> Any:
        """Turn (N, H, W, C) into (N windows, A B, C)."""
        x = tf.reshape(x, (-1, tall, a, wide, b, x.shape[-1]))
        return tf.reshape(tf.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, a * b, x.shape[-1]))

    class SwinBlock(layers.Layer):
        def build(self, shape: Any) -> None:
            self.norm, self.project, self.out = _norm(), layers.Dense(48), layers.Dense(16)
            for layer in (self.norm, self.project, self.out):
                layer.build(shape)
            distances = (2 * a - 1) * (2 * b - 1)
            self.table = self.add_weight(shape=(distances, 2), name="table")
            self.mask = None
            if any(shift):
                # Places that the shift brought together from far apart must not attend.
                rows = np.digitize(np.arange(grid[0]), [grid[0] - a, grid[0] - shift[0]])
                columns = np.digitize(np.arange(grid[1]), [grid[1] - b, grid[1] - shift[1]])
                parts = (rows[:, None] * 3 + columns).reshape(tall, a, wide, b)
                parts = parts.transpose(0, 2, 1, 3).reshape(-1, a * b)
                apart = parts[:, :, None] != parts[:, None]
                self.mask = np.where(apart, -100.0, 0.0).astype(np.float32)[None, :, None]

        def call(self, x: Any) -> Any:
            y = tf.reshape(self.norm(x), (-1, *grid, 16))
            if any(shift):
                y = tf.roll(y, [-shift[0], -shift[1]], [1, 2])
            y = self.attend(windows(y))
            y = tf.reshape(y, (-1, tall, wide, a, b, 16))
            y = tf.reshape(tf.transpose(y, (0, 1, 3, 2, 4, 5)), (-1, *grid, 16))
            if any(shift):
                y = tf.roll(y, shift, [1, 2])
            return x + tf.reshape(y, (-1, grid[0] * grid[1], 16))

        def attend(self, x: Any) -> Any:
            x = tf.reshape(self.project(x), (-1, a * b, 3, 2, 8))
            x = tf.transpose(x, (2, 0, 3, 1, 4))
            q, k, v = x[0], x[1], x[2]
            scores = tf.matmul(q * 8**-0.5, k, transpose_b=True)
            bias = tf.gather(self.table, _relative_places(window))
            scores += tf.transpose(bias, (2, 0, 1))
            if self.mask is not None:
                scores = tf.reshape(scores, (-1, tall * wide, 2, a * b, a * b)) + self.mask
                scores = tf.reshape(scores, (-1, 2, a * b, a * b))
            x = tf.transpose(tf.matmul(tf.nn.softmax(scores), v), (0, 2, 1, 3))
            return self.out(tf.reshape(x, (-1, a * b, 16)))

    return SwinBlock()


def swin_recognizer() -> Any:
    """Swin: attention in windows and shifted windows, relative position bias, height merging."""
    import keras
    from keras import layers

    image = keras.Input((32, 96, 1), name="image")
    x = layers.Reshape((192, 16))(layers.Conv2D(16, 4, 4)(image))
    for shift in ((0, 0), (2, 3)):
        x = _mlp(_swin_block((8, 24), (4, 6), shift)(x), 32)
    x = layers.Conv2D(32, (8, 1))(layers.Reshape((8, 24, 16))(_norm()(x)))
    x = layers.Dense(CLASSES)(layers.Reshape((24, 32))(x))
    return with_random_weights(keras.Model(image, x))


def swin_detector() -> Any:
    """Swin encoder with shifted windows and patch merging; decoder of convolutions."""
    import keras
    from keras import layers, ops

    image = keras.Input((64, 96, 3), name="image")
    x = layers.Reshape((384, 16))(layers.Conv2D(16, 4, 4)(image))
    for shift in ((0, 0), (2, 2)):
        x = _mlp(_swin_block((16, 24), (4, 4), shift)(x), 32)
    fine = layers.Reshape((16, 24, 16))(x)
    corners = [fine[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
    x = layers.Dense(16, use_bias=False)(_norm()(ops.concatenate(corners, -1)))
    x = layers.Reshape((96, 16))(x)
    for shift in ((0, 0), (2, 2)):
        x = _mlp(_swin_block((8, 12), (4, 4), shift)(x), 32)
    coarse = layers.UpSampling2D(2)(layers.Reshape((8, 12, 16))(x))
    return _map(image, conv(layers.Concatenate()([fine, coarse]), 16), 4)


def vit_detector() -> Any:
    """ViTDet: attention in windows of a map, then over all tokens; a pyramid from one map."""
    import keras
    from keras import layers, ops

    image = keras.Input((64, 96, 3), name="image")
    x = layers.Conv2D(24, 8, 8)(image)
    y = ops.reshape(_norm()(x), (-1, 2, 4, 3, 4, 24))
    y = ops.reshape(ops.transpose(y, (0, 1, 3, 2, 4, 5)), (-1, 16, 24))
    y = ops.reshape(layers.MultiHeadAttention(2, 12)(y, y), (-1, 2, 3, 4, 4, 24))
    y = ops.reshape(ops.transpose(y, (0, 1, 3, 2, 4, 5)), (-1, 8, 12, 24))
    x = _mlp(layers.Add()([x, y]), 48)
    y = layers.Reshape((96, 24))(_norm()(x))
    y = layers.Reshape((8, 12, 24))(layers.MultiHeadAttention(2, 12)(y, y))
    x = _mlp(layers.Add()([x, y]), 48)
    large, small = layers.Conv2DTranspose(16, 2, 2)(x), layers.MaxPooling2D(2)(x)
    parts = [large, layers.UpSampling2D(2)(x), layers.UpSampling2D(4)(small)]
    return _map(image, conv(_norm()(layers.Concatenate()(parts)), 16), 4)


def pyramid_vision() -> Any:
    """PVT: keys and values from a reduced map; depthwise convolution inside the MLP."""
    import keras
    from keras import layers

    image = keras.Input((64, 96, 3), name="image")
    x, stages = image, []
    for width, heads, reduction, stride in ((16, 1, 4, 4), (32, 2, 2, 2)):
        x = layers.Conv2D(width, stride + 1, stride, "same")(x)
        _, rows, columns, _ = x.shape
        x = _norm()(layers.Reshape((rows * columns, width))(x))
        y = _norm()(x)
        few = layers.Conv2D(width, reduction, reduction)(layers.Reshape((rows, columns, width))(y))
        few = _norm()(layers.Reshape((-1, width))(few))
        attention = layers.MultiHeadAttention(heads, width // heads)
        x = layers.Add()([x, attention(y, few)])
        y = layers.Reshape((rows, columns, 2 * width))(layers.Dense(2 * width)(_norm()(x)))
        y = layers.DepthwiseConv2D(3, padding="same")(y)
        y = layers.Activation("gelu")(layers.Reshape((rows * columns, 2 * width))(y))
        x = layers.Add()([x, layers.Dense(width)(y)])
        x = layers.Reshape((rows, columns, width))(_norm()(x))
        stages.append(x)
    parts = [stages[0], layers.UpSampling2D(2, interpolation="bilinear")(stages[1])]
    return _map(image, conv(layers.Concatenate()(parts), 16), 4)


def axial_attention() -> Any:
    """Attention along the columns, along the rows, and over both axes of a map."""
    import keras
    from keras import layers

    image = keras.Input((64, 96, 3), name="image")
    x = layers.Conv2D(16, 8, 8)(image)
    for axes in ((1,), (2,), (1, 2)):
        y = _norm()(x)
        attention = layers.MultiHeadAttention(2, 8, attention_axes=axes)
        x = _mlp(layers.Add()([x, attention(y, y)]), 32, "swish")
    return _map(image, conv(x, 16), 8)


def tr_ocr_encoder() -> Any:
    """BEiT encoder of TrOCR: one product for query, key and value, layer scales, a class token."""
    import keras
    import tensorflow as tf
    from keras import layers

    class ClassToken(layers.Layer):
        def build(self, shape: Any) -> None:
            self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")

        def call(self, x: Any) -> Any:
            shape = (tf.shape(x)[0], 1, x.shape[-1])
            return tf.concat([tf.broadcast_to(self.token, shape), x], 1)

    class Attention(layers.Layer):
        def build(self, shape: Any) -> None:
            self.project, self.out = layers.Dense(72, use_bias=False), layers.Dense(24)
            self.project.build(shape)
            self.out.build(shape)
            self.bias = self.add_weight(shape=(2, 24), name="bias")
            self.table = self.add_weight(shape=(7 * 23 + 3, 3), name="table")

        def call(self, x: Any) -> Any:
            places = np.full((49, 49), 7 * 23)
            places[1:, 1:] = _relative_places((4, 12))
            places[:, 0], places[0, 0] = 7 * 23 + 1, 7 * 23 + 2
            query, value = self.bias[0], self.bias[1]
            x = self.project(x) + tf.concat([query, tf.zeros_like(query), value], 0)
            q, k, v = (
                tf.transpose(tf.reshape(part, (-1, 49, 3, 8)), (0, 2, 1, 3))
                for part in tf.split(x, 3, -1)
            )
            scores = tf.matmul(q, k, transpose_b=True) / 8**0.5
            scores += tf.transpose(tf.gather(self.table, places), (2, 0, 1))[None]
            x = tf.transpose(tf.matmul(tf.nn.softmax(scores), v), (0, 2, 1, 3))
            return self.out(tf.reshape(x, (-1, 49, 24)))

    class Scale(layers.Layer):
        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(shape=(shape[-1],), name="gamma")

        def call(self, x: Any) -> Any:
            return self.scale * x

    image = keras.Input((32, 96, 1), name="image")
    x = ClassToken()(layers.Reshape((48, 24))(layers.Conv2D(24, 8, 8)(image)))
    for _ in range(2):
        x = layers.Add()([x, Scale()(Attention()(_norm()(x)))])
        y = layers.Dense(24)(layers.Dense(48, activation="gelu")(_norm()(x)))
        x = layers.Add()([x, Scale()(y)])
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(_norm()(x)[:, 1:])))


def conformer() -> Any:
    """Conformer: half-step MLPs with swish, attention, gated convolution over time."""
    import keras
    from keras import layers, ops

    image = keras.Input((32, 96, 1), name="image")
    x = conv(conv(image, 8, stride=2), 16, stride=2)
    x = layers.Dense(24)(layers.Reshape((24, 128))(layers.Permute((2, 1, 3))(x)))
    for _ in range(2):
        x = x + 0.5 * layers.Dense(24)(layers.Dense(48, activation="swish")(_norm()(x)))
        y = _norm()(x)
        x = x + layers.MultiHeadAttention(2, 12)(y, y)
        y, gate = ops.split(layers.Conv1D(48, 1)(_norm()(x)), 2, -1)
        y = layers.DepthwiseConv1D(7, padding="same")(y * ops.sigmoid(gate))
        x = x + layers.Conv1D(24, 1)(layers.Activation("swish")(layers.BatchNormalization()(y)))
        x = x + 0.5 * layers.Dense(24)(layers.Dense(48, activation="swish")(_norm()(x)))
        x = _norm()(x)
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))


def parallel_visual_attention() -> Any:
    """SRN: embeddings of the reading order attend to the image, all characters at once."""
    import keras
    import tensorflow as tf
    from keras import layers

    class ReadingOrder(layers.Layer):
        def build(self, shape: Any) -> None:
            self.places = layers.Embedding(12, 24)
            self.of_order, self.of_image = layers.Dense(24), layers.Dense(24)
            self.score = layers.Dense(1, use_bias=False)
            for layer in (self.of_order, self.of_image, self.score):
                layer.build(shape)
            self.places.build(None)

        def call(self, x: Any) -> Any:
            order = self.of_order(self.places(tf.range(12)))[None, :, None]  # (1, 12, 1, C)
            scores = self.score(tf.tanh(order + self.of_image(x)[:, None]))[..., 0]
            return tf.matmul(tf.nn.softmax(scores), x)

    image = keras.Input((32, 96, 1), name="image")
    x = ReadingOrder()(layers.Reshape((48, 24))(layers.Conv2D(24, 8, 8)(image)))
    y = _norm()(x)
    x = _mlp(layers.Add()([x, layers.MultiHeadAttention(2, 12)(y, y, use_causal_mask=True)]), 48)
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))


def linear_attention() -> Any:
    """Linear attention by einsum of three tensors: no softmax, and a product of keys and values."""
    import keras
    from keras import layers, ops

    image = keras.Input((32, 96, 1), name="image")
    x = layers.Reshape((48, 24))(layers.Conv2D(24, 8, 8)(image))
    y = _norm()(x)
    q, k, v = (layers.Reshape((48, 2, 12))(layers.Dense(24)(y)) for _ in range(3))
    q, k = ops.elu(q) + 1, ops.elu(k) + 1
    total = ops.einsum("bnhd,bnhe->bhde", k, v)
    norm = 1 / (ops.einsum("bnhd,bhd->bnh", q, ops.sum(k, 1)) + 1e-6)
    y = layers.Reshape((48, 24))(ops.einsum("bnhd,bhde,bnh->bnhe", q, total, norm))
    x = _mlp(layers.Add()([x, layers.Dense(24)(y)]), 48)
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))
