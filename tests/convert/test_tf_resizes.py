"""Every resize of TensorFlow, against TensorFlow, in onnxruntime and OpenVINO."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from ocr_trt.convert.passes.lower_resize import lower_resize
from ocr_trt.convert.passes.raise_resize import raise_resize
from ocr_trt.engines.base import BuildSettings, RunSettings
from ocr_trt.engines.targets import backend
from ocr_trt.errors import ConversionError

from .helpers import evaluated, ops, traced

SIZES = (
    ((23, 38), (45, 75)),  # 45 / 23 has no exact float32
    ((6, 9), (12, 27)),  # whole ratios
    ((12, 30), (6, 10)),
    ((6, 10), (10, 6)),  # positions exactly between two pixels
    ((7, 9), (13, 9)),  # one axis only
    ((5, 8), (1, 4)),
    ((1, 1), (4, 6)),
    ((1, 9), (3, 1)),
    ((7, 11), (7, 11)),
    ((31, 17), (8, 5)),
)
Resize = Callable[[Any], Any]


def raw(op: str, size: tuple[int, int], **modes: bool) -> Resize:
    import tensorflow as tf

    return lambda x: getattr(tf.raw_ops, op)(images=x, size=size, **modes)


def resizes(size: tuple[int, int]) -> Iterator[tuple[str, Resize]]:
    """Yield all of TensorFlow's ways to resize images to ``size``."""
    import tensorflow as tf

    modes = ({"align_corners": True}, {"half_pixel_centers": True}, {})
    kinds = ("ResizeNearestNeighbor", "ResizeBilinear", "ResizeBicubic")
    for op, mode in product(kinds, modes):
        yield f"{op} {mode}", raw(op, size, **mode)
    for mode in ({"align_corners": True}, {}):
        yield f"ResizeArea {mode}", raw("ResizeArea", size, **mode)
    methods = ("bilinear", "bicubic", "lanczos3", "lanczos5", "gaussian", "mitchellcubic", "area")
    for method, antialias in product(methods, (False, True)):
        yield (
            f"{method} {antialias}",
            lambda x, m=method, a=antialias: tf.image.resize(x, size, m, antialias=a),
        )


def converted(function: Resize, shape: tuple[int, ...]) -> ir.Model:
    """Convert a function from "x" to "y" and lower its resizes."""
    import tensorflow as tf

    # A layer behind it, so that the model is no mere selection of pixels.
    model = traced(lambda x: tf.identity(function(x) * 1.5), shape)
    lower_resize(model)
    raise_resize(model)
    return model


def check(function: Resize, shape: tuple[int, ...], folder: Path) -> ir.Model:
    """Compare a converted function with TensorFlow."""
    model = converted(function, shape)
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    expected = np.asarray(function(x)) * 1.5
    np.testing.assert_allclose(evaluated(model, x), expected, rtol=0, atol=3e-5)
    openvino = backend("openvino")
    openvino.build(ir.to_proto(model), folder / "plan.xml", BuildSettings(max_batch=2))
    settings = RunSettings()
    with openvino.open(folder / "plan.xml", label="", settings=settings, max_batch=2) as engine:
        np.testing.assert_allclose(engine.run(x), expected, rtol=0, atol=3e-5)
    return model


@pytest.mark.parametrize("sizes", SIZES[:4], ids=str)
def test_main_methods_equal_tensorflow(sizes: Any, tmp_path: Path) -> None:
    """Other sizes and methods: the test below."""
    old, new = sizes
    chosen = (
        "ResizeNearestNeighbor",
        "ResizeBicubic {}",
        "bilinear False",
        "area",
        "lanczos3 True",
    )
    for name, function in resizes(new):
        if name.startswith(chosen):
            check(function, (2, *old, 3), tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_every_method_equals_tensorflow(sizes: Any, tmp_path: Path) -> None:
    old, new = sizes
    for _, function in resizes(new):
        check(function, (2, *old, 3), tmp_path)


def test_ops_for_each_method() -> None:
    import tensorflow as tf

    def used(function: Resize, shape: tuple[int, ...]) -> set[str]:
        return set(ops(converted(function, shape))) - {"Transpose", "Mul"}

    def resize(method: str, size: tuple[int, int]) -> Resize:
        return lambda x: tf.image.resize(x, size, method)

    assert used(resize("bilinear", (45, 75)), (2, 23, 38, 3)) == {"Resize"}
    assert used(resize("nearest", (46, 76)), (2, 23, 38, 3)) == {"Resize"}
    assert used(resize("nearest", (12, 19)), (2, 24, 38, 3)) == {"Slice"}
    assert used(resize("bicubic", (46, 76)), (2, 23, 38, 3)) == {"MatMul"}
    assert used(resize("area", (12, 19)), (2, 24, 38, 3)) == {"AveragePool"}
    assert used(resize("area", (12, 20)), (2, 24, 38, 3)) == {"MatMul"}
    assert used(resize("bicubic", (24, 38)), (2, 24, 38, 3)) == set()


def test_size_of_another_tensor_and_integer_pixels(tmp_path: Path) -> None:
    import tensorflow as tf

    def like_pooled(x: Any) -> Any:
        pooled = tf.nn.avg_pool2d(x, 2, 2, "SAME")
        return tf.image.resize(tf.image.resize(x, tf.shape(pooled)[1:3], "area"), tf.shape(x)[1:3])

    check(like_pooled, (2, 23, 38, 3), tmp_path)
    model = converted(lambda x: tf.image.resize(tf.cast(x, tf.int32), (45, 75)), (2, 23, 38, 3))
    x = np.random.default_rng(0).uniform(0, 255, (2, 23, 38, 3)).astype(np.float32)
    expected = tf.image.resize(tf.cast(x, tf.int32), (45, 75)) * 1.5
    np.testing.assert_allclose(evaluated(model, x), expected, rtol=0, atol=5e-3)  # of 382


def test_size_and_scale_may_be_computed(tmp_path: Path) -> None:
    """In a SavedModel with a free batch, TensorFlow does not fold size / tf.shape(x)[1:3]."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 13, 2])])
    def saved(x: Any) -> Any:
        return tf.image.resize(x, (9, 17), "lanczos3")

    check(saved, (2, 8, 13, 2), tmp_path)


def test_size_that_depends_on_the_image_is_refused() -> None:
    import tensorflow as tf

    def resized(x: Any) -> Any:
        size = tf.add(tf.cast(tf.reduce_max(x), tf.int32), (5, 6))
        return tf.ensure_shape(tf.image.resize(x, size, "area"), (2, None, None, 2))

    with pytest.raises(ConversionError, match=r"ResizeArea at .*ResizeArea.* known during"):
        traced(resized, (2, 8, 13, 2))


def test_scale_and_translate_moves(tmp_path: Path) -> None:
    import tensorflow as tf

    def moved(x: Any) -> Any:
        return tf.raw_ops.ScaleAndTranslate(
            images=x, size=(9, 14), scale=(1.3, 0.8), translation=(-1.5, 2.0),
            kernel_type="triangle", antialias=True,
        )  # fmt: skip

    check(moved, (2, 8, 13, 2), tmp_path)
