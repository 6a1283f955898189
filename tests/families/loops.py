"""Recognizers with loops that are no plain LSTM or GRU: (N, 32, 96, 1) to logits (N, T, 37)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .blocks import with_random_weights
from .recognizers import CLASSES, _columns


def _recognizer(middle: Callable[[Any], Any]) -> Any:
    """Columns of the image, the layers under test, a dense layer."""
    import keras
    from keras import layers

    image = keras.Input((32, 96, 1), name="image")
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(middle(_columns(image)))))


def captcha() -> Any:
    """The OCR example of Keras' documentation: bidirectional LSTMs with dropout."""
    from keras import layers

    def middle(x: Any) -> Any:
        x = layers.Dropout(0.2)(layers.Dense(24, activation="relu")(x))
        for _ in range(2):
            lstm = layers.LSTM(12, return_sequences=True, dropout=0.25, recurrent_dropout=0.1)
            x = layers.Bidirectional(lstm)(x)
        return x

    return _recognizer(middle)


def stacked_cells() -> Any:
    """Several cells in one recurrent layer; a GRU with other activations."""
    from keras import layers

    def middle(x: Any) -> Any:
        x = layers.RNN([layers.LSTMCell(12), layers.GRUCell(10)], return_sequences=True)(x)
        options = {"activation": "relu", "recurrent_activation": "hard_sigmoid"}
        return layers.GRU(12, return_sequences=True, **options)(x)

    return _recognizer(middle)


def layer_norm_lstm() -> Any:
    """A custom cell: an LSTM whose gates and state are normalized."""
    from keras import layers, ops

    class Cell(layers.Layer):
        def __init__(self, units: int = 12, **options: Any) -> None:
            super().__init__(**options)
            self.state_size, self.output_size = [units, units], units
            self.dense = layers.Dense(4 * units)
            self.recurrent = layers.Dense(4 * units, use_bias=False)
            self.norms = [layers.LayerNormalization() for _ in range(3)]

        def build(self, shape: Any) -> None:
            units = self.output_size
            self.dense.build(shape)
            self.recurrent.build((None, units))
            for norm, size in zip(self.norms, (4 * units, 4 * units, units), strict=True):
                norm.build((None, size))
            self.built = True

        def call(self, x: Any, states: Any) -> Any:
            h, c = states
            gates = self.norms[0](self.dense(x)) + self.norms[1](self.recurrent(h))
            i, f, g, o = ops.split(gates, 4, -1)
            c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
            h = ops.sigmoid(o) * ops.tanh(self.norms[2](c))
            return h, [h, c]

    return _recognizer(lambda x: layers.RNN(Cell(), return_sequences=True)(x))


def conv_lstm() -> Any:
    """A convolutional LSTM over the columns, each an image of 4 x 6 pixels."""
    from keras import layers

    def middle(x: Any) -> Any:
        x = layers.Reshape((24, 4, 6, 1))(x)
        x = layers.ConvLSTM2D(3, 3, padding="same", return_sequences=True)(x)
        return layers.Reshape((24, -1))(x)

    return _recognizer(middle)


def masked_gru() -> Any:
    """A mask, which bidirectional GRUs use: they skip steps of zeros."""
    from keras import layers

    def middle(x: Any) -> Any:
        x = layers.Masking(0.0)(layers.ReLU()(layers.Dense(6)(x)))
        return layers.Bidirectional(layers.GRU(12, return_sequences=True))(x)

    return _recognizer(middle)


def loop_decoder() -> Any:
    """A while loop with greedy feedback: attention and a GRU cell."""
    import keras
    import tensorflow as tf
    from keras import layers

    class Decoder(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.query = layers.GRUCell(16), layers.Dense(24)
            self.classify, self.embed = layers.Dense(CLASSES), layers.Embedding(CLASSES, 8)

        def build(self, shape: Any) -> None:
            self.cell.build((None, shape[-1] + 8))
            self.query.build((None, 16))
            self.classify.build((None, 16))
            self.embed.build(None)

        def call(self, features: Any) -> Any:
            batch = tf.shape(features)[0]

            def body(step: Any, state: Any, last: Any, results: Any) -> Any:
                scores = tf.einsum("ntc,nc->nt", features, self.query(state))
                context = tf.einsum("nt,ntc->nc", tf.nn.softmax(scores), features)
                state, _ = self.cell(tf.concat([context, self.embed(last)], -1), [state])
                logits = self.classify(state)
                return step + 1, state, tf.argmax(logits, -1), results.write(step, logits)

            results = tf.TensorArray(tf.float32, 10, element_shape=[None, CLASSES])
            begin = (0, tf.zeros([batch, 16]), tf.zeros([batch], tf.int64), results)
            *_, results = tf.while_loop(lambda step, *_: step < 10, body, begin)
            return tf.transpose(results.stack(), [1, 0, 2])

        def compute_output_spec(self, features: Any) -> Any:
            return keras.KerasTensor((features.shape[0], 10, CLASSES), features.dtype)

    image = keras.Input((32, 96, 1), name="image")
    return with_random_weights(keras.Model(image, Decoder()(_columns(image))))


def mapped_over_time() -> Any:
    """``tf.map_fn`` over the columns, and a branch that depends on the image."""
    import keras
    import tensorflow as tf
    from keras import layers

    class Mapped(layers.Layer):
        def call(self, x: Any) -> Any:
            steps = tf.transpose(x, [1, 0, 2])
            steps = tf.map_fn(lambda step: tf.nn.softmax(step) * step, steps)
            y = tf.transpose(steps, [1, 0, 2])
            return tf.cond(tf.reduce_max(y) > 1e6, lambda: y * 0.5, lambda: y + x)

        def compute_output_spec(self, x: Any) -> Any:
            return keras.KerasTensor(x.shape, x.dtype)

    return _recognizer(lambda x: Mapped()(x))
