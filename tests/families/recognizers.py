"""Recognizers of convolutions and recurrent layers: (N, 32, W, 1) to logits (N, T, 37)."""

from __future__ import annotations

from typing import Any

from .blocks import conv, with_random_weights

CLASSES = 37


def _columns(image: Any, filters: int = 24) -> Any:
    """Convolutions, then one vector per 4 pixels of width: (N, W/4, filters)."""
    from keras import layers

    x = layers.MaxPooling2D(2)(conv(image, 8))
    x = layers.MaxPooling2D(2)(conv(x, 16))
    x = conv(x, filters, stride=(2, 1))
    x = layers.Conv2D(filters, (4, 1), activation="relu")(x)
    return layers.Reshape((-1, filters))(x)


def crnn() -> Any:
    """Two bidirectional LSTMs."""
    import keras
    from keras import layers

    image = keras.Input((32, 96, 1), name="image")
    x = _columns(image)
    for _ in range(2):
        x = layers.Bidirectional(layers.LSTM(16, return_sequences=True))(x)
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))


def crnn_any_width() -> Any:
    """A bidirectional and a forward LSTM; no fixed width."""
    import keras
    from keras import layers

    image = keras.Input((32, None, 1), name="image")
    x = _columns(image)
    x = layers.Bidirectional(layers.LSTM(16, return_sequences=True), merge_mode="sum")(x)
    x = layers.LSTM(16, return_sequences=True)(x)
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))


def gru() -> Any:
    """Bidirectional GRUs with both forms of the reset gate."""
    import keras
    from keras import layers

    image = keras.Input((32, 96, 1), name="image")
    x = _columns(image)
    for after in (True, False):
        layer = layers.GRU(12, return_sequences=True, reset_after=after)
        x = layers.Bidirectional(layer)(x)
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))


def tdnn() -> Any:
    """One-dimensional convolutions over time, causal and dilated."""
    import keras
    from keras import layers

    image = keras.Input((32, 96, 1), name="image")
    x = layers.Permute((2, 1, 3))(image)
    x = layers.Reshape((96, 32))(x)
    x = layers.Conv1D(24, 5, strides=2, padding="same", activation="relu")(x)
    for rate in (1, 2, 4):
        y = layers.Conv1D(24, 3, padding="causal", dilation_rate=rate, use_bias=False)(x)
        x = layers.Add()([x, layers.ReLU()(layers.BatchNormalization()(y))])
    x = layers.AveragePooling1D(2)(x)
    x = layers.SeparableConv1D(24, 3, padding="same", activation="swish")(x)
    return with_random_weights(keras.Model(image, layers.Conv1D(CLASSES, 1)(x)))


def squeeze_excite() -> Any:
    """Squeeze-excite blocks; pooling over the height; probabilities as output."""
    import keras
    from keras import layers

    image = keras.Input((32, 96, 1), name="image")
    x = conv(image, 16, stride=2)
    for _ in range(2):
        y = conv(x, 16)
        squeezed = layers.GlobalAveragePooling2D()(y)
        gates = layers.Dense(16, activation="sigmoid")(layers.Dense(4, activation="relu")(squeezed))
        x = layers.Add()([x, layers.Multiply()([y, layers.Reshape((1, 1, 16))(gates)])])
    x = layers.AveragePooling2D((16, 2))(x)
    x = layers.Reshape((-1, 16))(x)
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x)))


def spatial_transformer() -> Any:
    """Predicts an affine map and samples the image with it, bilinearly."""
    import keras
    import numpy as np
    import tensorflow as tf
    from keras import layers

    class Sampler(layers.Layer):
        def call(self, image: Any, theta: Any) -> Any:
            batch, height, width = tf.shape(image)[0], 32, 96
            y, x = tf.meshgrid(tf.linspace(-1.0, 1.0, height), tf.linspace(-1.0, 1.0, width),
                               indexing="ij")  # fmt: skip
            grid = tf.stack([tf.reshape(x, [-1]), tf.reshape(y, [-1]), tf.ones([height * width])])
            moved = tf.linalg.matmul(tf.reshape(theta, [-1, 2, 3]), grid)
            px = (moved[:, 0] + 1.0) * (width - 1) / 2.0
            py = (moved[:, 1] + 1.0) * (height - 1) / 2.0
            x0, y0 = tf.floor(px), tf.floor(py)
            total = 0.0
            for dy in (0, 1):
                for dx in (0, 1):
                    cx, cy = x0 + dx, y0 + dy
                    weight = (1.0 - tf.abs(px - cx)) * (1.0 - tf.abs(py - cy))
                    column = tf.clip_by_value(tf.cast(cx, tf.int32), 0, width - 1)
                    row = tf.clip_by_value(tf.cast(cy, tf.int32), 0, height - 1)
                    images = tf.reshape(tf.range(batch), [-1, 1]) * tf.ones_like(column)
                    index = tf.stack([images, row, column], -1)
                    total += weight[..., None] * tf.gather_nd(image, index)
            return tf.reshape(total, [-1, height, width, 1])

        def compute_output_spec(self, image: Any, theta: Any) -> Any:
            return keras.KerasTensor(image.shape, image.dtype)

    image = keras.Input((32, 96, 1), name="image")
    x = layers.MaxPooling2D(4)(conv(image, 8, stride=2))
    theta = layers.Dense(6, name="theta")(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(CLASSES)(_columns(Sampler()(image, theta))))
    model = with_random_weights(model)
    kernel, _ = model.get_layer("theta").get_weights()
    start = np.array([0.9, 0.05, 0.02, -0.05, 0.9, -0.03], np.float32)
    model.get_layer("theta").set_weights([kernel * 0.02, start])
    return model


def attention_decoder() -> Any:
    """Additive attention and a GRU cell, unrolled over eight characters with greedy feedback."""
    import keras
    import tensorflow as tf
    from keras import layers

    class Decoder(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.cell = layers.GRUCell(16)
            self.query, self.key = layers.Dense(16, use_bias=False), layers.Dense(16)
            self.score, self.classify = layers.Dense(1), layers.Dense(CLASSES)

        def build(self, shape: Any) -> None:
            self.cell.build((None, shape[-1] + CLASSES))
            self.query.build((None, 16))
            self.key.build((None, None, shape[-1]))
            self.score.build((None, None, 16))
            self.classify.build((None, 16))

        def call(self, features: Any) -> Any:
            batch, keys = tf.shape(features)[0], self.key(features)
            state, last = tf.zeros([batch, 16]), tf.one_hot(tf.zeros([batch], tf.int32), CLASSES)
            logits = []
            for _ in range(8):
                energy = self.score(tf.tanh(keys + self.query(state)[:, None]))
                context = tf.reduce_sum(tf.nn.softmax(energy, 1) * features, 1)
                state, _ = self.cell(tf.concat([context, last], -1), [state])
                logits.append(self.classify(state))
                last = tf.one_hot(tf.argmax(logits[-1], -1), CLASSES)
            return tf.stack(logits, 1)

        def compute_output_spec(self, features: Any) -> Any:
            return keras.KerasTensor((features.shape[0], 8, CLASSES), features.dtype)

    image = keras.Input((32, 96, 1), name="image")
    return with_random_weights(keras.Model(image, Decoder()(_columns(image))))
