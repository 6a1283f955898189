"""raise_grid_sample: bilinear sampling as TensorFlow users write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from ocr_trt.convert.passes.fold_constants import fold_constants
from ocr_trt.convert.passes.raise_grid_sample import raise_grid_sample

from .helpers import evaluated, ops, traced

tf = pytest.importorskip("tensorflow")

BATCH, HEIGHT, WIDTH, CHANNELS = SHAPE = (2, 6, 9, 3)
POINTS = 20
RNG = np.random.default_rng(5)
BEND = tf.constant(RNG.normal(0, 0.5, (WIDTH * CHANNELS, 2 * POINTS)), tf.float32)


def places(image: Any) -> tuple[Any, Any]:
    """Compute places from the image, many of them outside of it."""
    rows = tf.reshape(image[:, 2], [BATCH, -1])
    moved = tf.tanh(rows @ BEND) * 0.7 + 0.5
    return moved[:, :POINTS] * (WIDTH - 1), moved[:, POINTS:] * (HEIGHT - 1)


def gather(image: Any, row: Any, column: Any) -> Any:
    images = tf.reshape(tf.range(BATCH), [-1, 1]) * tf.ones_like(row)
    return tf.gather_nd(image, tf.stack([images, row, column], -1))


def continued(image: Any) -> Any:
    """Sample so that the border pixels continue outside the image."""
    x, y = places(image)
    x0, y0 = tf.floor(x), tf.floor(y)
    total = 0.0
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (1.0 - tf.abs(x - x0 - dx)) * (1.0 - tf.abs(y - y0 - dy))
            column = tf.clip_by_value(tf.cast(x0, tf.int32) + dx, 0, WIDTH - 1)
            row = tf.clip_by_value(tf.cast(y0, tf.int32) + dy, 0, HEIGHT - 1)
            total += weight[..., None] * gather(image, row, column)
    return total


def fading(image: Any) -> Any:
    """Sample with weights from clipped neighbors: zero outside the image."""
    x, y = places(image)
    x0, y0 = tf.cast(tf.floor(x), tf.int32), tf.cast(tf.floor(y), tf.int32)
    x1, y1 = (tf.clip_by_value(v + 1, 0, n - 1) for v, n in ((x0, WIDTH), (y0, HEIGHT)))
    x0, y0 = (tf.clip_by_value(v, 0, n - 1) for v, n in ((x0, WIDTH), (y0, HEIGHT)))
    left, right, top, bottom = (tf.cast(v, tf.float32) for v in (x0, x1, y0, y1))
    parts = [
        ((right - x) * (bottom - y), y0, x0),
        ((right - x) * (y - top), y1, x0),
        ((x - left) * (bottom - y), y0, x1),
        ((x - left) * (y - top), y1, x1),
    ]
    return tf.add_n([w[..., None] * gather(image, row, column) for w, row, column in parts])


def one_neighbor(image: Any) -> Any:
    """Take one neighbor, twice: no bilinear sampling."""
    x, y = places(image)
    row, column = (tf.cast(tf.floor(v), tf.int32) for v in (y, x))
    row, column = (tf.clip_by_value(v, 0, n - 1) for v, n in ((row, HEIGHT), (column, WIDTH)))
    return gather(image, row, column) * 2.0


def raised(function: Callable[[Any], Any]) -> tuple[ir.Model, int]:
    model = traced(function, SHAPE)
    changed = raise_grid_sample(model).changed
    fold_constants(model)
    return model, changed


@pytest.mark.parametrize(("function", "masks"), [(continued, 0), (fading, 1)])
def test_sampling_is_raised(
    function: Callable[[Any], Any], masks: int, rng: np.random.Generator
) -> None:
    model, changed = raised(function)
    assert changed == 1
    assert ops(model)["GridSample"] == 1
    assert ops(model)["GatherND"] == 0
    assert ops(model)["GreaterOrEqual"] == 2 * masks
    image = rng.standard_normal(SHAPE).astype(np.float32)
    x, _ = places(tf.constant(image))
    assert float(tf.reduce_min(x)) < -1, "some places lie outside"
    np.testing.assert_allclose(
        evaluated(model, image), function(tf.constant(image)).numpy(), atol=1e-4
    )


def test_other_gathers_stay() -> None:
    model, changed = raised(one_neighbor)
    assert changed == 0
    assert ops(model)["GatherND"] == 1
