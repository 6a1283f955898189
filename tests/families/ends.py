"""Models with something around their network: decoders, losses, further inputs, other layouts."""

from __future__ import annotations

from typing import Any

from .blocks import with_random_weights
from .recognizers import CLASSES, _columns


def ctc_decoder_inside() -> Any:
    """An LSTM whose softmax goes into a CTC decoder; the model returns class numbers only."""
    import keras
    import tensorflow as tf
    from keras import layers

    class Decoder(layers.Layer):
        def call(self, scores: Any) -> Any:
            logits = tf.math.log(tf.transpose(scores, (1, 0, 2)) + 1e-7)  # (T, N, C)
            lengths = tf.fill(tf.shape(logits)[1:2], tf.shape(logits)[0])
            decoded, _ = tf.nn.ctc_greedy_decoder(logits, lengths)
            return tf.sparse.to_dense(decoded[0], default_value=-1)

        def compute_output_spec(self, scores: Any) -> Any:
            return keras.KerasTensor((scores.shape[0], None), "int64")

    image = keras.Input((32, 96, 1), name="image")
    x = layers.LSTM(16, return_sequences=True)(_columns(image))
    x = layers.Rescaling(8.0)(x)  # so that the classes differ
    scores = layers.Dense(CLASSES, activation="softmax", name="scores")(x)
    return with_random_weights(keras.Model(image, Decoder()(scores)))


def training_with_ctc_loss() -> Any:
    """A Keras file as saved in training: labels as second input, a loss layer at the end."""
    import keras
    from keras import layers

    class CtcLoss(layers.Layer):
        def call(self, labels: Any, scores: Any) -> Any:
            steps = keras.ops.full((keras.ops.shape(scores)[0],), 24, "int32")
            letters = keras.ops.full((keras.ops.shape(labels)[0],), 8, "int32")
            loss = keras.ops.ctc_loss(labels, scores, letters, steps)
            self.add_loss(keras.ops.mean(loss))
            return scores

    image = keras.Input((32, 96, 1), name="image")
    labels = keras.Input((8,), dtype="int32", name="labels")
    x = layers.Bidirectional(layers.GRU(12, return_sequences=True))(_columns(image))
    scores = layers.Dense(CLASSES, activation="softmax", name="scores")(x)
    return with_random_weights(keras.Model([image, labels], CtcLoss()(labels, scores)))


def text_as_second_input() -> Any:
    """A second input, embedded and concatenated to the columns; it gets a constant value."""
    import keras
    from keras import layers

    image = keras.Input((32, 96, 1), name="image")
    text = keras.Input((24,), dtype="int32", name="text")
    x = layers.Concatenate()([_columns(image), layers.Embedding(CLASSES, 8)(text)])
    x = layers.LSTM(16, return_sequences=True)(x)
    return with_random_weights(keras.Model([image, text], layers.Dense(CLASSES)(x)))


def channels_first() -> Any:
    """A network in the channels-first layout: convolutions, pooling, deconvolution."""
    import keras
    from keras import layers

    first: dict[str, Any] = {"data_format": "channels_first"}
    image = keras.Input((3, 64, 96), name="image")
    x = layers.Conv2D(8, 3, 2, "same", use_bias=False, **first)(image)
    skip = layers.ReLU()(layers.BatchNormalization(axis=1)(x))
    x = layers.MaxPooling2D(2, **first)(skip)
    x = layers.SeparableConv2D(16, 3, padding="same", activation="relu", **first)(x)
    x = layers.Conv2DTranspose(8, 3, 2, "same", **first)(x)
    x = layers.Concatenate(axis=1)([x, skip])
    x = layers.UpSampling2D(2, interpolation="bilinear", **first)(x)
    x = layers.Conv2D(1, 1, activation="sigmoid", **first)(x)
    return with_random_weights(keras.Model(image, x))


def channels_first_kernels() -> Any:
    """TensorFlow ops in the channels-first layout; on a CPU the baseline is the exported graph."""
    import numpy as np
    import tensorflow as tf

    class Net(tf.Module):
        def __init__(self) -> None:
            rng = np.random.default_rng(1)
            self.first, self.last, self.up = (
                tf.Variable(rng.normal(0, 0.3, shape).astype(np.float32))
                for shape in ((3, 3, 3, 8), (1, 1, 4, 1), (3, 3, 4, 2))
            )

        @tf.function(input_signature=[tf.TensorSpec((None, 3, 64, 96), name="image")])
        def __call__(self, image: Any) -> Any:
            x = tf.nn.conv2d(image, self.first, 2, "SAME", data_format="NCHW")
            x = tf.nn.max_pool2d(tf.nn.relu(x), 2, 2, "SAME", data_format="NCHW")
            x = tf.nn.depth_to_space(x, 2, data_format="NCHW")
            size = [tf.shape(image)[0], 4, 64, 96]
            x = tf.nn.conv2d_transpose(x, self.up, size, 2, "SAME", data_format="NCHW")
            return {"map": tf.sigmoid(tf.nn.conv2d(x, self.last, 1, "SAME", data_format="NCHW"))}

    return Net()
