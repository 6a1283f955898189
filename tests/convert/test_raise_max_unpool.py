"""Max-unpooling as TensorFlow users write it, raised and compared with TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ocr_trt.convert.passes.collapse_views import collapse_views
from ocr_trt.convert.passes.fold_constants import fold_constants
from ocr_trt.convert.passes.raise_max_unpool import raise_max_unpool

from .helpers import evaluated, ops, traced

tf = pytest.importorskip("tensorflow")

Unpool = Callable[[Any, Any, tuple[int, int, int, int]], Any]


def by_scatter_nd_and_repeat(values: Any, places: Any, shape: tuple[int, int, int, int]) -> Any:
    n, h, w, c = shape
    images = tf.repeat(tf.range(n, dtype=tf.int64), h * w * c // 4)
    index = tf.stack([images, tf.reshape(places, [-1])], axis=1)
    spread = tf.scatter_nd(index, tf.reshape(values, [-1]), tf.constant([n, h * w * c], tf.int64))
    return tf.reshape(spread, shape)


def by_ones_like(values: Any, places: Any, shape: tuple[int, int, int, int]) -> Any:
    n, h, w, c = shape
    images = tf.reshape(tf.range(n, dtype=tf.int64), [n, 1, 1, 1]) * tf.ones_like(places)
    flat = tf.reshape(images * (h * w * c) + places, [-1, 1])
    size = tf.constant([n * h * w * c], tf.int64)
    return tf.reshape(tf.scatter_nd(flat, tf.reshape(values, [-1]), size), shape)


def by_four_coordinates(values: Any, places: Any, shape: tuple[int, int, int, int]) -> Any:
    n, _, w, c = shape
    ones = tf.ones_like(places)
    b = ones * tf.reshape(tf.range(n, dtype=tf.int64), [n, 1, 1, 1])
    y = places // (w * c)
    x = places // c % w
    f = ones * tf.range(c, dtype=tf.int64)
    index = tf.transpose(tf.reshape(tf.stack([b, y, x, f]), [4, -1]))
    return tf.scatter_nd(index, tf.reshape(values, [-1]), tf.constant(shape, tf.int64))


def by_tensor_scatter(values: Any, places: Any, shape: tuple[int, int, int, int]) -> Any:
    n, h, w, c = shape
    images = tf.tile(tf.reshape(tf.range(n, dtype=tf.int64), [n, 1]), [1, h * w * c // 4])
    index = tf.stack([tf.reshape(images, [-1]), tf.reshape(places, [-1])], axis=1)
    empty = tf.zeros([n, h * w * c])
    filled = tf.tensor_scatter_nd_update(empty, index, tf.reshape(values, [-1]))
    return tf.reshape(filled, shape)


def by_segment_sum(values: Any, places: Any, shape: tuple[int, int, int, int]) -> Any:
    n, h, w, c = shape
    images = tf.reshape(tf.range(n, dtype=tf.int64), [n, 1, 1, 1])
    flat = tf.reshape(places + images * h * w * c, [-1])
    spread = tf.math.unsorted_segment_sum(tf.reshape(values, [-1]), flat, n * h * w * c)
    return tf.reshape(spread, shape)


def by_broadcast(values: Any, places: Any, shape: tuple[int, int, int, int]) -> Any:
    n, h, w, c = shape
    images = tf.reshape(tf.range(n, dtype=tf.int64), [n, 1, 1, 1])
    flat = tf.broadcast_to(images, tf.shape(places, out_type=tf.int64)) * (h * w * c) + places
    spread = tf.scatter_nd(tf.reshape(flat, [-1, 1]), tf.reshape(values, [-1]), [n * h * w * c])
    return tf.reshape(spread, shape)


def upside_down(values: Any, places: Any, shape: tuple[int, int, int, int]) -> Any:
    _, h, w, c = shape
    return by_scatter_nd_and_repeat(values, h * w * c - 1 - places, shape)


def network(unpool: Unpool, size: int = 2, pad: str = "VALID") -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        y = tf.nn.relu(x - 0.5)  # many ties at zero
        values, places = tf.nn.max_pool_with_argmax(y, size, 2, pad, include_batch_in_index=False)
        shape = tuple(x.shape)
        return unpool(tf.sin(3 * values) - 0.25, places, shape) + 0.1 * y

    return run


VERSIONS = [
    by_scatter_nd_and_repeat,
    by_ones_like,
    by_four_coordinates,
    by_tensor_scatter,
    by_segment_sum,
    by_broadcast,
]


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.full), 2])
@pytest.mark.parametrize("unpool", VERSIONS, ids=lambda f: f.__name__)
def test_every_version_is_raised(unpool: Unpool, batch: int, rng: np.random.Generator) -> None:
    shape = (batch, 6, 10, 3)
    function = network(unpool)
    model = traced(function, shape)
    assert raise_max_unpool(model).changed == 1
    fold_constants(model)
    collapse_views(model)
    found = ops(model)
    assert (found["MaxPoolArgmax2d"], found["MaxUnpool2d"]) == (1, 1)
    assert not {"ScatterND", "ScatterElements", "Mod", "MaxPool"} & set(found)
    x = rng.integers(-1, 3, shape).astype(np.float32)
    np.testing.assert_allclose(evaluated(model, x), function(tf.constant(x)).numpy(), atol=1e-6)


def test_index_arithmetic_that_does_not_unpool_stays_and_is_reported() -> None:
    model = traced(network(upside_down), (1, 6, 10, 3))
    outcome = raise_max_unpool(model)
    assert outcome.changed == 0
    assert "not an unpooling" in outcome.skipped[0].reason
    assert ops(model)["ScatterND"] == 1


@pytest.mark.parametrize("with_batch", [False, True])
def test_batch_may_be_in_the_index(with_batch: bool, rng: np.random.Generator) -> None:
    shape = (2, 6, 10, 3)

    def run(x: Any) -> Any:
        values, places = tf.nn.max_pool_with_argmax(
            x, 2, 2, "VALID", include_batch_in_index=with_batch
        )
        if not with_batch:
            return by_broadcast(values + 1.0, places, shape)
        flat = tf.reshape(places, [-1, 1])
        spread = tf.scatter_nd(flat, tf.reshape(values + 1.0, [-1]), [int(np.prod(shape))])
        return tf.reshape(spread, shape)

    model = traced(run, shape)
    assert raise_max_unpool(model).changed == 1
    fold_constants(model)
    assert ops(model)["MaxUnpool2d"] == 1
    x = rng.standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(evaluated(model, x), run(tf.constant(x)).numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("size", "stride", "pad", "height", "width"),
    [
        (3, 2, "VALID", 7, 11),
        (3, 2, "SAME", 6, 10),
        (3, 2, "SAME", 7, 11),
        (2, 2, "VALID", 7, 10),
        (2, 2, "SAME", 7, 9),
        (3, 1, "SAME", 5, 6),
        (2, 3, "VALID", 8, 9),
        ((2, 4), (2, 4), "VALID", 6, 8),
    ],
)
@pytest.mark.parametrize(
    "unpool", [by_scatter_nd_and_repeat, pytest.param(by_segment_sum, marks=pytest.mark.full)]
)
def test_other_windows_become_standard_ops(
    unpool: Unpool, size: Any, stride: Any, pad: str, height: int, width: int,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    shape = (2, height, width, 3)

    def run(x: Any) -> Any:
        y = tf.nn.relu(x - 0.5)  # many ties at zero
        values, places = tf.nn.max_pool_with_argmax(y, size, stride, pad)
        values = tf.sin(3 * values) - 0.25
        flat = tf.reshape(values, [2, -1])
        places = tf.reshape(places, [2, -1])
        images = tf.repeat(tf.range(2, dtype=tf.int64)[:, None], tf.shape(flat)[1], 1)
        if unpool is by_segment_sum:
            index = tf.reshape(images * (height * width * 3) + places, [-1])
            one = tf.reshape(flat, [-1])
            spread = tf.math.unsorted_segment_sum(one, index, 2 * height * width * 3)
        else:
            index = tf.stack([images, places], -1)
            spread = tf.scatter_nd(index, flat, tf.constant([2, height * width * 3], tf.int64))
        return tf.reshape(spread, shape)

    model = traced(run, shape)
    assert raise_max_unpool(model).changed == 1
    fold_constants(model)
    assert not {"ScatterND", "Unique", "TopK", "MaxUnpool2d"} & set(ops(model))
    assert all(len(n.outputs) == 1 for n in model.graph if n.op_type == "MaxPool")
    x = rng.integers(-1, 4, shape).astype(np.float32)
    np.testing.assert_allclose(evaluated(model, x), run(tf.constant(x)).numpy(), atol=1e-5)


def test_pooling_without_unpooling_stays() -> None:
    def run(x: Any) -> Any:
        return tf.nn.max_pool_with_argmax(x, 2, 2, "VALID")[0]

    outcome = raise_max_unpool(traced(run, (1, 6, 10, 3)))
    assert (outcome.changed, outcome.skipped) == (0, ())


def test_one_pooling_may_feed_two_unpoolings(rng: np.random.Generator) -> None:
    shape = (2, 4, 6, 2)

    def run(x: Any) -> Any:
        values, places = tf.nn.max_pool_with_argmax(x, 2, 2, "VALID")
        first = by_scatter_nd_and_repeat(values, places, shape)
        return first + by_scatter_nd_and_repeat(values * 2.0 + 1.0, places, shape)

    model = traced(run, shape)
    assert raise_max_unpool(model).changed == 2
    fold_constants(model)
    x = rng.standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(evaluated(model, x), run(tf.constant(x)).numpy(), atol=1e-6)
