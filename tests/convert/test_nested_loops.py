"""Loops in bodies of loops, loops over the images of a batch, and slices at a computed place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.convert.pass_order import PREPARE
from ocr_trt.convert.passes.free_batch import free_batch
from ocr_trt.errors import ConversionError

from .helpers import evaluated, ops, traced

tf = pytest.importorskip("tensorflow")

W = tf.constant(np.random.default_rng(0).normal(0, 0.5, (4, 4)).astype(np.float32))


def states(x: Any) -> Any:
    return tf.zeros([tf.shape(x)[0], 4])


def fixed_steps(x: Any) -> Any:
    """Three steps in each of five."""

    def step(k: Any, h: Any, results: Any) -> Any:
        z = x[:, k]
        _, h = tf.while_loop(lambda i, _: i < 3, lambda i, h: (i + 1, tf.tanh(h @ W + z)), (0, h))
        return k + 1, h, results.write(k, h)

    start = (0, states(x), tf.TensorArray(tf.float32, 5))
    return tf.transpose(tf.while_loop(lambda k, *_: k < 5, step, start)[2].stack(), [1, 0, 2])


def sequences_inside(x: Any) -> Any:
    """An RNN in each of three refinements."""

    def refine(k: Any, s: Any) -> Any:
        def step(t: Any, h: Any, results: Any) -> Any:
            h = tf.tanh(h @ W + s[:, t])
            return t + 1, h, results.write(t, h)

        start = (0, states(x), tf.TensorArray(tf.float32, 5))
        results = tf.while_loop(lambda t, *_: t < 5, step, start)[2]
        return k + 1, tf.transpose(results.stack(), [1, 0, 2])

    return tf.while_loop(lambda k, _: k < 3, refine, (0, x))[1]


def ends_early_inside(x: Any) -> Any:
    def step(k: Any, h: Any) -> Any:
        _, h = tf.while_loop(
            lambda i, h: tf.logical_and(i < 4, tf.reduce_max(h) < 0.9),
            lambda i, h: (i + 1, h + tf.abs(x[:, k]) * 0.3),
            (0, h * 0.5),
        )
        return k + 1, h

    return tf.while_loop(lambda k, _: k < 5, step, (0, states(x)))[1]


@pytest.mark.parametrize("function", [fixed_steps, sequences_inside, ends_early_inside])
def test_loops_in_loops(function: Callable[[Any], Any], rng: np.random.Generator) -> None:
    model = traced(function, (2, 5, 4))
    for each in PREPARE:
        each(model)
    x = rng.standard_normal((2, 5, 4)).astype(np.float32)
    expected = function(tf.constant(x)).numpy()
    assert expected.std() > 0.05
    np.testing.assert_allclose(evaluated(model, x), expected, atol=1e-6)
    if function is not ends_early_inside:  # there one image decides when the others end
        assert free_batch(model).changed == 1
        x = rng.standard_normal((3, 5, 4)).astype(np.float32)
        expected = function(tf.constant(x)).numpy()
        np.testing.assert_allclose(evaluated(model, x), expected, atol=1e-6)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_inner_loop_without_a_largest_number_of_steps_is_refused() -> None:
    def function(x: Any) -> Any:
        def step(k: Any, h: Any) -> Any:
            inner = tf.while_loop(
                lambda h: tf.reduce_max(h) < 0.9, lambda h: (h + 0.1,), (h * 0.0,)
            )
            return k + 1, inner[0]

        return tf.while_loop(lambda k, _: k < 5, step, (0, x))[1]

    model = traced(function, (2, 5, 4))
    with pytest.raises(ConversionError, match=r"in its body: its number of steps depends"):
        for each in PREPARE:
            each(model)


@pytest.mark.parametrize("count", [1, 3])
def test_functions_that_are_mapped_over_the_images(count: int, rng: np.random.Generator) -> None:
    def normal(image: Any) -> Any:
        return (image - tf.reduce_mean(image)) / (tf.math.reduce_std(image) + 1e-3)

    def function(x: Any) -> Any:
        for _ in range(count):
            x = tf.map_fn(normal, x) * 2.0
        return x

    model = traced(function, (2, 5, 4))
    for each in PREPARE:
        each(model)
    assert free_batch(model).changed == 1
    for batch in (1, 3):
        x = rng.standard_normal((batch, 5, 4)).astype(np.float32)
        expected = function(tf.constant(x)).numpy()
        np.testing.assert_allclose(evaluated(model, x), expected, atol=1e-5)


SLICES: dict[str, Callable[[Any, Any], Any]] = {
    "one index": lambda x, k: x[k],
    "second axis": lambda x, k: x[:, k],
    "last axis": lambda x, k: x[..., k] if x.shape.rank == 1 else x[:, :, k],
    "range in front": lambda x, k: x[1:3, k],
    "range behind": lambda x, k: x[k, 1:],
    "two indices": lambda x, k: x[k, 1, k],
    "from the end": lambda x, k: x[:, k - 3],
}


@pytest.mark.parametrize("kind", SLICES)
def test_slices_at_a_computed_place(kind: str, rng: np.random.Generator) -> None:
    def function(x: Any) -> Any:
        place = tf.cast(tf.reduce_max(x) > 0.0, tf.int32)  # 1
        return SLICES[kind](x, place) + 1.0

    model = traced(function, (3, 4, 5))
    assert ops(model)["Gather"] >= 1
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(evaluated(model, x), function(tf.constant(x)).numpy(), atol=1e-6)


def test_range_at_a_computed_place_stays_a_slice(rng: np.random.Generator) -> None:
    def function(x: Any) -> Any:
        place = tf.cast(tf.reduce_max(x) > 0.0, tf.int32)
        return x[:, place : place + 2] + 1.0

    model = traced(function, (3, 4, 5))
    assert ops(model)["Slice"] == 1
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(evaluated(model, x), function(tf.constant(x)).numpy(), atol=1e-6)
