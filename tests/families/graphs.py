"""Models from before Keras 3: graphs of TensorFlow 1, with its own recurrent loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from .recognizers import CLASSES


def _graph(build: Any) -> bytes:
    """Build a graph and freeze its variables into constants."""
    import tensorflow as tf

    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    try:
        return _frozen(v1, build)
    finally:
        v1.enable_control_flow_v2()


def _frozen(v1: Any, build: Any) -> bytes:
    with v1.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        v1.set_random_seed(4)
        build(v1)
        session.run(v1.global_variables_initializer())
        frozen = v1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), ["map"]
        )
    return frozen.SerializeToString()


def _weights(v1: Any, name: str, shape: tuple[int, ...], seed: int) -> Any:
    scale = int(np.prod(shape[:-1])) ** -0.5
    values = np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)
    return v1.get_variable(name, initializer=values)


def tf1_detector() -> bytes:
    """Fused batch norm; deconvolution with a computed output shape; align-corners resize."""

    def build(v1: Any) -> None:
        image = v1.placeholder("float32", [None, None, None, 3], name="image")
        x = image
        for number, filters in enumerate((8, 16)):
            with v1.variable_scope(f"stage{number}"):
                kernel = _weights(v1, "kernel", (3, 3, x.shape[-1], filters), number)
                x = v1.nn.conv2d(x, kernel, [1, 2, 2, 1], "SAME")
                scale, mean = (_weights(v1, n, (filters,), 7) for n in ("scale", "mean"))
                offset = v1.constant(np.full(filters, 0.3, np.float32))
                x, _, _ = v1.nn.fused_batch_norm(
                    x, scale + 1.0, offset, mean, offset + 0.5, is_training=False
                )
                x = v1.nn.relu6(x)
        size = v1.shape(image)
        kernel = _weights(v1, "up", (3, 3, 8, 16), 9)
        shape = v1.stack([size[0], size[1] // 2, size[2] // 2, 8])
        x = v1.nn.conv2d_transpose(x, kernel, shape, [1, 2, 2, 1], "SAME")
        x = v1.image.resize_bilinear(x, size[1:3], align_corners=True)
        x = v1.nn.bias_add(v1.nn.conv2d(x, _weights(v1, "head", (1, 1, 8, 1), 8), 1, "SAME"), [0.1])
        v1.sigmoid(x, name="map")

    return _graph(build)


def tf1_recognizer() -> bytes:
    """An LSTM written as ``while_loop`` over a TensorArray, forward and backward, time first."""

    def lstm(v1: Any, x: Any, name: str, units: int) -> Any:
        with v1.variable_scope(name):
            kernel = _weights(v1, "kernel", (x.shape[-1] + units, 4 * units), 3)
            bias = _weights(v1, "bias", (4 * units,), 4)
        batch, steps = v1.shape(x)[1], v1.shape(x)[0]
        inputs = v1.TensorArray("float32", steps).unstack(x)

        def body(step: Any, c: Any, h: Any, outputs: Any) -> Any:
            gates = v1.matmul(v1.concat([inputs.read(step), h], 1), kernel) + bias
            i, j, f, o = v1.split(gates, 4, 1)
            c = v1.sigmoid(f + 1.0) * c + v1.sigmoid(i) * v1.tanh(j)
            h = v1.sigmoid(o) * v1.tanh(c)
            return step + 1, c, h, outputs.write(step, h)

        zeros = v1.zeros([batch, units])
        outputs = v1.TensorArray("float32", steps)
        *_, outputs = v1.while_loop(lambda step, *_: step < steps, body, (0, zeros, zeros, outputs))
        return v1.ensure_shape(outputs.stack(), [None, None, units])

    def build(v1: Any) -> None:
        image = v1.placeholder("float32", [None, 32, None, 1], name="image")
        x = v1.nn.relu(v1.nn.conv2d(image, _weights(v1, "k1", (3, 3, 1, 8), 1), 2, "SAME"))
        x = v1.nn.max_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
        x = v1.nn.relu(v1.nn.conv2d(x, _weights(v1, "k2", (8, 1, 8, 16), 2), 1, "VALID"))
        x = v1.transpose(v1.squeeze(x, 1), [1, 0, 2])
        forward = lstm(v1, x, "forward", 12)
        backward = v1.reverse(lstm(v1, v1.reverse(x, [0]), "backward", 12), [0])
        x = v1.concat([forward, backward], 2)
        flat = v1.matmul(v1.reshape(x, [-1, 24]), _weights(v1, "out", (24, CLASSES), 5))
        v1.reshape(flat, [v1.shape(x)[0], -1, CLASSES], name="map")

    return _graph(build)


class _Cell:
    """A cell as ``dynamic_rnn`` requires it; TensorFlow removed its own classes with Keras 2."""

    def __init__(self, v1: Any, depth: int, units: int, seed: int) -> None:
        self.v1, self.output_size, self.state_size = v1, units, self._states(units)
        self._depth, self._seed = depth, seed

    def _states(self, units: int) -> Any:
        return units

    def zero_state(self, batch: Any, dtype: Any) -> Any:
        return self.v1.zeros([batch, self.output_size], dtype)

    def _dense(self, parts: list[Any], name: str, gates: int) -> Any:
        shape = (self._depth + self.output_size, gates * self.output_size)
        with self.v1.variable_scope(name, reuse=self.v1.AUTO_REUSE):
            kernel = _weights(self.v1, "kernel", shape, self._seed)
            bias = _weights(self.v1, "bias", shape[1:], self._seed + 1)
        return self.v1.nn.bias_add(self.v1.matmul(self.v1.concat(parts, 1), kernel), bias)


class _Lstm(_Cell):
    def _states(self, units: int) -> Any:
        return units, units

    def zero_state(self, batch: Any, dtype: Any) -> Any:
        return (super().zero_state(batch, dtype),) * 2

    def __call__(self, x: Any, state: Any, scope: Any = None) -> tuple[Any, Any]:
        v1, (c, h) = self.v1, state
        i, j, f, o = v1.split(self._dense([x, h], "lstm", 4), 4, 1)
        c = v1.sigmoid(f + 1.0) * c + v1.sigmoid(i) * v1.tanh(j)
        h = v1.sigmoid(o) * v1.tanh(c)
        return h, (c, h)


class _Gru(_Cell):
    def __call__(self, x: Any, h: Any, scope: Any = None) -> tuple[Any, Any]:
        v1 = self.v1
        r, u = v1.split(v1.sigmoid(self._dense([x, h], "gates", 2)), 2, 1)
        h = u * h + (1 - u) * v1.tanh(self._dense([x, r * h], "candidate", 1))
        return h, h


def tf1_dynamic_rnn() -> bytes:
    """``bidirectional_dynamic_rnn`` with sequence lengths: an LSTM, then a GRU, time first."""

    def layer(v1: Any, cell: type[_Cell], x: Any, name: str, **options: Any) -> Any:
        forward, backward = (cell(v1, int(x.shape[-1]), 12, seed) for seed in (3, 5))
        with v1.variable_scope(name):
            outputs, _ = v1.nn.bidirectional_dynamic_rnn(
                forward, backward, x, dtype="float32", **options
            )
        return v1.concat(outputs, 2)

    def build(v1: Any) -> None:
        image = v1.placeholder("float32", [None, 32, None, 1], name="image")
        x = v1.nn.relu(v1.nn.conv2d(image, _weights(v1, "k1", (3, 3, 1, 8), 1), 4, "SAME"))
        x = v1.transpose(x, [0, 2, 1, 3])
        x = v1.reshape(x, [v1.shape(x)[0], v1.shape(x)[1], 64])
        lengths = v1.fill(v1.shape(x)[:1], v1.shape(x)[1])
        x = layer(v1, _Lstm, x, "first", sequence_length=lengths)
        x = layer(v1, _Gru, v1.transpose(x, [1, 0, 2]), "second", time_major=True)
        flat = v1.matmul(v1.reshape(x, [-1, 24]), _weights(v1, "out", (24, CLASSES), 5))
        v1.reshape(flat, [v1.shape(x)[0], -1, CLASSES], name="map")

    return _graph(build)
