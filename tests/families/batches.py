"""Models whose batch is at an unusual place, or is fixed; and EAST, which has two outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from .blocks import conv, with_random_weights
from .graphs import _graph, _weights
from .recognizers import CLASSES, _columns


def time_major() -> Any:
    """CTC scores with time in front of the batch, as the losses of TensorFlow 1 require them."""
    import keras
    import tensorflow as tf
    from keras import layers

    class TimeFirst(layers.Layer):
        def call(self, x: Any) -> Any:
            return tf.transpose(tf.nn.log_softmax(x), [1, 0, 2])

        def compute_output_spec(self, x: Any) -> Any:
            return keras.KerasTensor((x.shape[1], x.shape[0], x.shape[2]), x.dtype)

    image = keras.Input((32, 96, 1), name="image")
    x = layers.Bidirectional(layers.LSTM(12, return_sequences=True))(_columns(image))
    return with_random_weights(keras.Model(image, TimeFirst()(layers.Dense(CLASSES)(x))))


def tf1_time_major() -> bytes:
    """A frozen graph that splits the columns with ``unstack``, and stacks them with time first."""

    def build(v1: Any) -> None:
        image = v1.placeholder("float32", [None, 32, 96, 1], name="image")
        x = v1.nn.relu(v1.nn.conv2d(image, _weights(v1, "k1", (4, 4, 1, 8), 1), 4, "SAME"))
        x = v1.nn.relu(v1.nn.conv2d(x, _weights(v1, "k2", (8, 1, 8, 16), 2), 1, "VALID"))
        steps = v1.unstack(v1.squeeze(x, [1]), axis=1)
        kernel, recurrent = _weights(v1, "w", (16, 16), 3), _weights(v1, "r", (16, 16), 4)
        state, states = v1.zeros([v1.shape(image)[0], 16]), []
        for step in steps:
            state = v1.tanh(v1.matmul(step, kernel) + v1.matmul(state, recurrent))
            states.append(state)
        scores = v1.tensordot(v1.stack(states), _weights(v1, "head", (16, CLASSES), 5), 1)
        v1.identity(scores, name="map")

    return _graph(build)


def parallel_decoder() -> Any:
    """Embedded positions, tiled by the batch size, as queries of two attention layers."""
    import keras
    import tensorflow as tf
    from keras import layers

    class Positions(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = layers.Embedding(12, 24)

        def build(self, shape: Any) -> None:
            self.embedding.build(None)

        def call(self, x: Any) -> Any:
            return self.embedding(tf.tile(tf.range(12)[None], [tf.shape(x)[0], 1]))

        def compute_output_spec(self, x: Any) -> Any:
            return keras.KerasTensor((x.shape[0], 12, 24), x.dtype)

    image = keras.Input((32, 96, 1), name="image")
    x = _columns(image)
    q = Positions()(x)
    for _ in range(2):
        q = layers.LayerNormalization()(q + layers.MultiHeadAttention(2, 12)(q, q))
        q = layers.LayerNormalization()(q + layers.MultiHeadAttention(2, 12)(q, x))
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(q)))


def batch_indices() -> Any:
    """Columns read from right to left by ``gather_nd`` with an index of the image."""
    import keras
    import tensorflow as tf
    from keras import layers

    class Reversed(layers.Layer):
        def call(self, x: Any) -> Any:
            count = tf.shape(x)[0]
            images = tf.tile(tf.range(count)[:, None], [1, 24])
            columns = tf.tile(tf.range(24)[None, ::-1], [count, 1])
            return tf.gather_nd(x, tf.stack([images, columns], -1))

        def compute_output_spec(self, x: Any) -> Any:
            return keras.KerasTensor(x.shape, x.dtype)

    image = keras.Input((32, 96, 1), name="image")
    x = Reversed()(_columns(image))
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))


def one_image() -> Any:
    """A signature of one image, with Reshapes to it: the engine accepts single images."""
    import tensorflow as tf

    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            rng = tf.random.Generator.from_seed(3)
            self.first = tf.Variable(rng.normal([4, 4, 1, 8], 0, 0.25))
            self.second = tf.Variable(rng.normal([8, 1, 8, 16], 0, 0.125))
            self.head = tf.Variable(rng.normal([16, CLASSES], 0, 0.25))

        @tf.function(input_signature=[tf.TensorSpec([1, 32, 96, 1], name="image")])
        def __call__(self, image: Any) -> dict[str, Any]:
            x = tf.nn.relu(tf.nn.conv2d(image, self.first, 4, "SAME"))
            x = tf.reshape(tf.nn.relu(tf.nn.conv2d(x, self.second, 1, "VALID")), [24, 16])
            return {"output_0": tf.reshape(tf.matmul(x, self.head), [1, 24, CLASSES])}

    return Net()


def four_images() -> bytes:
    """A frozen graph of four images, with Reshapes to them; its batch axis is freed."""

    def build(v1: Any) -> None:
        image = v1.placeholder("float32", [4, 32, 96, 1], name="image")
        x = v1.nn.relu(v1.nn.conv2d(image, _weights(v1, "k1", (4, 4, 1, 8), 1), 4, "SAME"))
        x = v1.nn.relu(v1.nn.conv2d(x, _weights(v1, "k2", (8, 1, 8, 16), 2), 1, "VALID"))
        x = v1.matmul(v1.reshape(x, [4 * 24, 16]), _weights(v1, "head", (16, CLASSES), 5))
        v1.reshape(x, [4, 24, CLASSES], name="map")

    return _graph(build)


def east() -> bytes:
    """EAST: subtracts the mean color per channel; score map and geometry as two outputs."""

    def build(v1: Any) -> None:
        image = v1.placeholder("float32", [None, None, None, 3], name="image")
        planes = v1.split(image, 3, axis=3)
        means = np.array([123.68, 116.78, 103.94], np.float32) / 255
        x = v1.concat([p - m for p, m in zip(planes, means, strict=True)], axis=3)
        features = []
        for number, filters in enumerate((8, 16, 16)):
            shape = (3, 3, x.shape[-1], filters)
            kernel = _weights(v1, f"k{number}", shape, number)
            x = v1.nn.relu(v1.nn.conv2d(x, kernel, 2, "SAME"))
            features.append(x)
        for number, skip in enumerate(reversed(features[:2])):
            x = v1.image.resize_bilinear(x, v1.shape(skip)[1:3])
            kernel = _weights(v1, f"merge{number}", (1, 1, x.shape[-1] + skip.shape[-1], 8), 6)
            x = v1.nn.relu(v1.nn.conv2d(v1.concat([x, skip], -1), kernel, 1, "SAME"))

        def head(name: str, count: int) -> Any:
            return v1.sigmoid(v1.nn.conv2d(x, _weights(v1, name, (1, 1, 8, count), 9), 1, "SAME"))

        score = v1.identity(head("score", 1), name="map")
        geometry = v1.concat([head("sides", 4) * 512, (head("angle", 1) - 0.5) * np.pi], -1)
        v1.identity(geometry + 0 * score, name="geometry")

    return _graph(build)


def threshold_maps() -> Any:
    """Differentiable binarization as it is trained: shrink, threshold and binary map."""
    import keras
    from keras import layers

    image = keras.Input((None, None, 3), name="image")
    x = conv(conv(image, 8, stride=2), 8)
    shrink, threshold = (
        layers.Conv2DTranspose(1, 2, 2, activation="sigmoid")(conv(x, 4)) for _ in range(2)
    )
    binary = 1 / (1 + keras.ops.exp(-50 * (shrink - threshold)))
    maps = {"shrink": shrink, "threshold": threshold, "binary": binary}
    return with_random_weights(keras.Model(image, maps))
