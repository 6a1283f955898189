"""Integers, bits, comparisons and choices."""

from __future__ import annotations

from typing import Any

from .case import Case, Function, cases_of


def integers_cases() -> dict[str, Case]:
    """Return the cases of this file."""
    import tensorflow as tf

    b, m = tf.bitwise, tf.math

    def of(function: Any, dtype: str = "int32") -> Function:
        def call(x: Any) -> Any:
            one, two = tf.cast(x * 10.0, dtype), tf.cast(tf.reverse(x, [2]) * 10.0, dtype)
            return tf.cast(function(one, tf.where(two == 0, tf.ones_like(two), two)), "float32")

        return call

    return cases_of(
        {
            "bitwise_and": of(b.bitwise_and),
            "bitwise_or": of(b.bitwise_or),
            "bitwise_xor": of(b.bitwise_xor),
            "invert": of(lambda x, y: b.invert(x)),
            "left_shift": of(lambda x, y: b.left_shift(x, 2)),
            "right_shift": of(lambda x, y: b.right_shift(x, 1)),
            "right_shift.u8": of(
                lambda x, y: b.right_shift(tf.cast(tf.abs(x), "uint8"), tf.constant(1, "uint8"))
            ),
            "population_count": of(lambda x, y: tf.raw_ops.PopulationCount(x=x)),
            "floordiv.int": of(m.floordiv),
            "floormod.int": of(m.floormod),
            "floormod.int64": of(m.floormod, "int64"),
            "truncatediv.int": of(tf.truncatediv),
            "truncatemod.int": of(tf.truncatemod),
            "div.int": of(lambda x, y: tf.raw_ops.Div(x=x, y=y)),
            "max.int": of(tf.maximum),
            "abs.int": of(lambda x, y: tf.abs(x)),
            "mul.int": of(lambda x, y: x * y),
            "sign.int": of(lambda x, y: tf.sign(x)),
            "square.int": of(lambda x, y: tf.square(x)),
            "reduce_sum.int": of(lambda x, y: tf.reduce_sum(x, 1)),
            "reduce_max.int": of(lambda x, y: tf.reduce_max(x, 1)),
            "cumsum.int": of(lambda x, y: tf.cumsum(x, 1)),
            "pow.int": of(lambda x, y: tf.pow(x, 2)),
            "argmax.int": of(lambda x, y: tf.argmax(x, 1)),
            "topk.int": of(lambda x, y: m.top_k(x, 2)[0]),
            "truediv.int": of(lambda x, y: x / y),
            "add.uint8": of(lambda x, y: tf.cast(tf.abs(x), "uint8") + tf.constant(3, "uint8")),
            "equal.int": of(lambda x, y: tf.equal(x, y)),
            "clip.int": of(lambda x, y: tf.clip_by_value(x, -3, 5)),
        }
    )


def comparisons_cases() -> dict[str, Case]:
    """Return the cases of this file."""
    import tensorflow as tf

    def of(function: Any) -> Function:
        return lambda x: tf.cast(function(x, tf.reverse(x, [2])), "float32")

    return cases_of(
        {
            "equal": of(tf.equal),
            "not_equal": of(tf.not_equal),
            "less": of(tf.less),
            "less_equal": of(tf.less_equal),
            "greater": of(tf.greater),
            "greater_equal": of(tf.greater_equal),
            "logical_and": of(lambda x, y: tf.logical_and(x > 0, y > 0)),
            "logical_or": of(lambda x, y: tf.logical_or(x > 0, y > 0)),
            "logical_xor": of(lambda x, y: tf.math.logical_xor(x > 0, y > 0)),
            "logical_not": of(lambda x, y: tf.logical_not(x > 0)),
            "equal.bool": of(lambda x, y: tf.equal(x > 0, y > 0)),
            "not_equal.bool": of(lambda x, y: tf.not_equal(x > 0, y > 0)),
            "select_v2": of(lambda x, y: tf.where(x > y, x, 0.5)),
            "select": of(lambda x, y: tf.compat.v1.where(x > y, x, y)),
            "select.vector": of(lambda x, y: tf.compat.v1.where(x[:, 0, 0, 0] > 0, x, y)),
            "select.broadcast": of(lambda x, y: tf.where(x[:, :1] > 0, x, y[..., :1])),
            "reduce_any": of(lambda x, y: tf.reduce_any(x > 1.9, [1, 2])),
            "reduce_all": of(lambda x, y: tf.reduce_all(x < 1.9, [1, 2])),
            "count_nonzero": of(lambda x, y: tf.math.count_nonzero(tf.nn.relu(x), [1, 2])),
            "where.indices": of(lambda x, y: tf.where(x[:1, :1, :2, 0] > -9.0)),
        }
    )
