"""Loops that TensorFlow users write, raised to LSTM, GRU or RNN and compared with TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from ocr_trt.convert.passes.fold_constants import fold_constants
from ocr_trt.convert.passes.raise_directions import raise_directions
from ocr_trt.convert.passes.raise_recurrent import raise_recurrent

from .helpers import check_does_not_fire, check_fires, evaluated, graph, ops, traced, used

tf = pytest.importorskip("tensorflow")

STEPS, INPUTS, UNITS = 7, 5, 4
RNG = np.random.default_rng(8)
Cell = Callable[..., tuple[Any, ...]]


def weights(*shape: int) -> Any:
    return tf.constant(RNG.normal(0, 0.5, shape), tf.float32)


W4, R4, B4 = weights(INPUTS, 4 * UNITS), weights(UNITS, 4 * UNITS), weights(4 * UNITS)
W3, R3, B3, C3 = (weights(*s) for s in ((INPUTS, 12), (UNITS, 12), (12,), (12,)))
W2, B2 = weights(INPUTS + UNITS, 8), weights(8)
W1, B1 = weights(INPUTS + UNITS, UNITS), weights(UNITS)


def lstm(x: Any, h: Any, c: Any) -> tuple[Any, Any]:
    i, f, g, o = tf.split(x @ W4 + h @ R4 + B4, 4, 1)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(c), c


def lstm_of_tensorflow_1(x: Any, h: Any, c: Any) -> tuple[Any, Any]:
    """One kernel, gates i j f o, a forget bias; one sigmoid over three gates at once."""
    gates = tf.concat([x, h], 1) @ tf.concat([W4, R4], 0) + B4
    i, j, f, o = tf.split(gates, 4, 1)
    i, f, o = tf.split(tf.sigmoid(tf.concat([i, f + 1.0, o], 1)), 3, 1)
    c = f * c + i * tf.tanh(j)
    return tf.tanh(c) * o, c


def gru_reset_after(x: Any, h: Any) -> tuple[Any]:
    a, b = x @ W3 + B3, h @ R3 + C3
    z = tf.sigmoid(a[:, :4] + b[:, :4])
    r = tf.sigmoid(a[:, 4:8] + b[:, 4:8])
    n = tf.tanh(a[:, 8:] + r * b[:, 8:])
    return (z * h + (1.0 - z) * n,)


def gru_of_tensorflow_1(x: Any, h: Any) -> tuple[Any]:
    r, u = tf.split(tf.sigmoid(tf.concat([x, h], 1) @ W2 + B2), 2, 1)
    n = tf.tanh(tf.concat([x, r * h], 1) @ W1 + B1)
    return (n + u * (h - n),)


def plain(x: Any, h: Any) -> tuple[Any]:
    return (tf.tanh(tf.concat([x, h], 1) @ W1 + B1),)


def lstm_with_peepholes(x: Any, h: Any, c: Any) -> tuple[Any, Any]:
    i, f, g, o = tf.split(x @ W4 + h @ R4 + B4, 4, 1)
    c = tf.sigmoid(f + c * B1) * c + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(c), c


def lstm_that_clips(x: Any, h: Any, c: Any) -> tuple[Any, Any]:
    h, c = lstm(x, h, c)
    return h, tf.clip_by_value(c, -10.0, 10.0)


def relu_rnn(x: Any, h: Any) -> tuple[Any]:
    return (tf.nn.relu(tf.concat([x, h], 1) @ W1 + B1),)


def loop_over(cell: Cell, states: int, *, start: int = 0) -> Callable[[Any], Any]:
    """(N, T, K) -> (N, T, H), by a while loop over TensorArrays."""

    def run(x: Any) -> Any:
        sequence = tf.transpose(x, [1, 0, 2])
        inputs = tf.TensorArray(tf.float32, STEPS).unstack(sequence)
        first = [tf.zeros([2, UNITS]) for _ in range(states)]

        def body(step: Any, results: Any, *before: Any) -> Any:
            after = cell(inputs.read(step), *before)
            return (step + 1, results.write(step, after[0]), *after)

        results = tf.TensorArray(tf.float32, STEPS)
        _, results, *_ = tf.while_loop(
            lambda step, *_: step < STEPS, body, (start, results, *first)
        )
        stacked = tf.ensure_shape(results.stack(), [STEPS, 2, UNITS])
        return tf.transpose(stacked, [1, 0, 2])

    return run


def raised(function: Callable[[Any], Any]) -> tuple[ir.Model, Any]:
    model = traced(function, (2, STEPS, INPUTS))
    outcome = raise_recurrent(model)
    fold_constants(model)
    return model, outcome


def check_equal(model: ir.Model, function: Callable[[Any], Any]) -> None:
    x = RNG.standard_normal((2, STEPS, INPUTS)).astype(np.float32)
    theirs = function(tf.constant(x)).numpy()
    assert theirs.std() > 0.05
    np.testing.assert_allclose(evaluated(model, x), theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("cell", "states", "op"),
    [
        (lstm, 2, "LSTM"),
        (lstm_of_tensorflow_1, 2, "LSTM"),
        (gru_reset_after, 1, "GRU"),
        (gru_of_tensorflow_1, 1, "GRU"),
        (plain, 1, "RNN"),
    ],
)
def test_loop_is_raised(cell: Cell, states: int, op: str) -> None:
    function = loop_over(cell, states)
    model, outcome = raised(function)
    assert outcome.changed == 1
    assert ops(model)[op] == 1
    assert ops(model)["Loop"] == 0
    check_equal(model, function)


@pytest.mark.parametrize(
    ("cell", "states", "start", "reason"),
    [
        (lstm_with_peepholes, 2, 0, "not an LSTM, GRU or RNN cell"),
        (lstm_that_clips, 2, 0, "not an LSTM, GRU or RNN cell"),
        (relu_rnn, 1, 0, "not an LSTM, GRU or RNN cell"),
        (plain, 1, 2, "counter does not start at 0"),
    ],
    ids=["peepholes", "clips", "another activation", "begins later"],
)
def test_other_loops_are_reported(cell: Cell, states: int, start: int, reason: str) -> None:
    model, outcome = raised(loop_over(cell, states, start=start))
    assert outcome.changed == 0
    assert reason in outcome.skipped[0].reason
    assert ops(model)["Loop"] == 1


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "SimpleRNN"])
def test_keras_layers_become_one_op(layer: str) -> None:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(4)
    built = keras.layers.Bidirectional(
        getattr(keras.layers, layer)(UNITS, return_sequences=True, bias_initializer="normal")
    )
    model, _ = raised(built)
    raise_directions(model)
    fold_constants(model)
    op = "RNN" if layer == "SimpleRNN" else layer
    assert ops(model)[op] == 1
    assert not ops(model)["Loop"] + ops(model)["ReverseSequence"]
    check_equal(model, built)


LOOP = """
    agraph (float[5,2,3] x, float[2,4] h) => ({outputs}) {{
        {before}
        final, y = Loop ({limit}, {begins}, h) <body = step
            (int64 i, bool c, float[2,4] s) => (bool c2, float[2,4] n, float[2,4] o) {{
                g = Gather <axis = 0> (x, i)
                p = MatMul(g, w)
                q = MatMul(s, r)
                a = Add(p, q)
                n = Tanh(a)
                o = Identity(n)
                {again}
            }}>
        {behind}
    }}
"""


def plain_loop(**parts: str) -> ir.Model:
    usual = {
        "outputs": "float[5,2,4] z", "before": "", "limit": "five", "begins": "yes",
        "again": "c2 = Identity(c)", "behind": "z = Neg(y)",
    }  # fmt: skip
    text = LOOP.format(**{**usual, **parts})
    constants = {
        "five": np.array(5), "three": np.array(3), "yes": np.array(True), "no": np.array(False),
        "w": RNG.normal(0, 0.5, (3, 4)).astype(np.float32),
        "r": RNG.normal(0, 0.5, (4, 4)).astype(np.float32), "four": np.array(4),
    }  # fmt: skip
    model = graph(text, **used(text, constants))
    fold_constants(model)
    return model


@pytest.mark.parametrize(
    ("outputs", "behind"),
    [
        ("float[5,2,4] z", "z = Neg(y)"),
        ("float[2,4] z", "z = Neg(final)"),
        ("float[5,2,4] y", ""),
        ("float[2,4] final", ""),
        ("float[2,4] final, float[5,2,4] z", "z = Neg(y)"),
    ],
)
def test_loops_may_return_states_and_results(outputs: str, behind: str) -> None:
    model = plain_loop(outputs=outputs, behind=behind)
    check_fires(model, raise_recurrent, atol=1e-6)
    assert ops(model)["RNN"] == 1


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"limit": "three"}, "3 of the 5 steps"),
        ({"begins": "no"}, "is not known"),
        (
            {"before": "t = Size(h) limit = Div(t, four)", "limit": "limit"},
            "2 of the 5 steps",
        ),
        ({"again": "c2 = Less(i, three)"}, "not end after the 5 steps"),
        ({"again": "c2 = Identity(no)"}, "not end after the 5 steps"),
    ],
)
def test_loops_that_end_early_stay(parts: dict[str, str], reason: str) -> None:
    model = plain_loop(**parts)
    loops = ops(model)["Loop"]
    outcome = raise_recurrent(model)
    assert (outcome.changed, ops(model)["Loop"]) == (0, loops)
    assert not loops or reason in outcome.skipped[0].reason


GRU = {
    name: RNG.normal(0, 0.5, shape).astype(np.float32)
    for name, shape in (("w", (1, 12, 5)), ("r", (1, 12, 4)), ("b", (1, 24)))
}


def scan(count: str, start: np.ndarray) -> ir.Model:
    """A plain RNN over x, whose state stays once a counter has reached 50."""
    kind = "int64" if start.dtype == np.int64 else "float"
    size = "1" if start.shape else ""
    text = f"""agraph (float[7,2,3] x) => (float[7,2,4] y) {{
        k, h9, y = Scan <num_scan_inputs = 1, body = b (
            {kind}[{size}] u, float[2,4] h, float[2,3] xt
        ) => ({kind}[{size}] u2, float[2,4] h2, float[2,4] y2) {{
            u2 = Add (u, {count})
            a = MatMul (xt, w)
            r = MatMul (h, rw)
            s = Add (a, r)
            n = Tanh (s)
            c = Less (u, last)
            h2 = Where (c, n, h)
            y2 = Identity (h2)
        }}> (start, zeros, x)
    }}"""
    step = np.array(1.5 if count == "more" else 1, start.dtype)
    return graph(
        text.replace(f"{count})", "step)"),
        start=start, step=step, last=np.array(50, start.dtype), zeros=np.zeros((2, 4), np.float32),
        w=RNG.normal(0, 0.5, (3, 4)).astype(np.float32),
        rw=RNG.normal(0, 0.5, (4, 4)).astype(np.float32),
    )  # fmt: skip


def test_scan_is_raised() -> None:
    model = scan("one", np.zeros((), np.int64))
    check_fires(model, raise_recurrent, atol=1e-6)
    assert ops(model)["RNN"] == 1
    assert ops(model)["Scan"] == 0


@pytest.mark.parametrize(
    ("count", "start", "reason"),
    [
        ("more", np.zeros((), np.float32), "its state has shape"),
        ("one", np.full((), 0.5, np.float32), "counter does not start at 0"),
        ("one", np.full((), 3, np.int64), "counter does not start at 0"),
    ],
    ids=["steps of 1.5", "from 0.5", "from 3"],
)
def test_scans_with_other_counters_stay(count: str, start: np.ndarray, reason: str) -> None:
    model = scan(count, start)
    before = ops(model)
    outcome = raise_recurrent(model)
    assert outcome.changed == 0
    assert [reason in skip.reason for skip in outcome.skipped] == [True]
    assert ops(model) == before


def test_counter_may_have_one_axis() -> None:
    model = scan("one", np.zeros(1, np.int64))
    check_fires(model, raise_recurrent, atol=1e-6)
    assert ops(model)["RNN"] == 1


def test_flips_become_a_direction() -> None:
    model = graph(
        """
        agraph (float[7,2,5] x) => (float[2,7,4] y) {
            f = ReverseSequence <time_axis = 0, batch_axis = 1> (x, lengths)
            l = GRU <hidden_size = 4> (f, w, r, b)
            s = Squeeze(l, one)
            t = Transpose <perm = [1, 0, 2]> (s)
            g = ReverseSequence <time_axis = 1, batch_axis = 0> (t, lengths)
            y = Abs(g)
        }
        """,
        lengths=np.array([7, 7]), one=np.array([1]), **GRU,
    )  # fmt: skip
    check_fires(model, raise_directions, atol=1e-6)
    assert ops(model)["GRU"] == 1
    assert [n.attributes["direction"].value for n in model.graph if n.op_type == "GRU"] == [
        "reverse"
    ]


def test_flip_of_several_readers_moves_behind_them() -> None:
    other = {f"{name}2": np.flip(array).copy() for name, array in GRU.items()}
    model = graph(
        """
        agraph (float[7,2,5] x) => (float[7,1,2,4] y, float[1,2,4] z) {
            v = Slice(x, minus, least, zero, minus)
            f, h = GRU <hidden_size = 4> (v, w, r, b)
            g, i = GRU <hidden_size = 4> (v, w2, r2, b2)
            y = Sub(f, g)
            z = Sub(h, i)
        }
        """,
        minus=np.array([-1]), least=np.array([-1000]), zero=np.array([0]), **GRU, **other,
    )  # fmt: skip
    check_fires(model, raise_directions, atol=1e-6)
    assert ops(model)["Slice"] == 2
    readers = [user.op_type for node in model.graph if node.op_type == "Slice"
               for user, _ in node.outputs[0].uses()]  # fmt: skip
    assert readers.count("GRU") == 1


def test_pair_of_directions_becomes_one_op() -> None:
    other = {f"{name}2": np.flip(array).copy() for name, array in GRU.items()}
    model = graph(
        """
        agraph (float[7,2,5] x) => (float[7,1,2,8] y) {
            f = GRU <hidden_size = 4> (x, w, r, b)
            g = GRU <hidden_size = 4, direction = "reverse"> (x, w2, r2, b2)
            y = Concat <axis = 3> (f, g)
        }
        """,
        **GRU, **other,
    )  # fmt: skip
    check_fires(model, raise_directions, atol=1e-6)
    assert ops(model) == {"GRU": 1, "Split": 1, "Concat": 1}


def test_pair_of_directions_in_the_other_order_becomes_one_op() -> None:
    other = {f"{name}2": np.flip(array).copy() for name, array in GRU.items()}
    model = graph(
        """
        agraph (float[7,2,5] x) => (float[7,1,2,4] y, float[7,1,2,4] z) {
            g = GRU <hidden_size = 4, direction = "reverse"> (x, w2, r2, b2)
            y = Relu(g)
            f = GRU <hidden_size = 4> (x, w, r, b)
            z = Neg(f)
        }
        """,
        **GRU, **other,
    )  # fmt: skip
    check_fires(model, raise_directions, atol=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        "v = Slice(x, minus, least, zero, minus) f = GRU <hidden_size = 4> (v, w, r, b, lens) "
        "y = Slice(f, minus, least, zero, minus)",
        "f = ReverseSequence <time_axis = 0, batch_axis = 1> (x, some) y = Relu(f)",
        "f = GRU <hidden_size = 4> (x, w, r, b) y = Slice(f, minus, least, zero, minus)",
    ],
    ids=["sequences of different length", "only a part is reversed", "only one side is reversed"],
)
def test_other_flips_stay(body: str) -> None:
    constants = {
        "some": np.array([7, 3]), "minus": np.array([-1]), "zero": np.array([0]),
        "least": np.array([-1000]), "lens": np.array([3, 7], np.int32), **GRU,
    }  # fmt: skip
    text = f"agraph (float[7,2,5] x) => (float[A,B,C] y) {{ {body} }}"
    check_does_not_fire(graph(text, **used(body, constants)), raise_directions)
