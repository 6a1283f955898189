"""raise_group_norms: group and instance normalizations of TensorFlow users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx.reference
import onnx_ir as ir
import pytest

from ocr_trt.convert.opset import convert_opset
from ocr_trt.convert.passes.collapse_views import collapse_views
from ocr_trt.convert.passes.lower_group_norms import lower_group_norms
from ocr_trt.convert.passes.raise_group_norms import raise_group_norms

from .helpers import evaluated, ops, traced

tf = pytest.importorskip("tensorflow")

SHAPE = (2, 4, 6, 8)
RNG = np.random.default_rng(3)
SCALE, BIAS = (tf.constant(RNG.normal(1, 0.3, 8), tf.float32) for _ in range(2))


def by_moments(groups: int) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        n, h, w, c = SHAPE
        cut = tf.reshape(x, [n, h, w, groups, c // groups])
        mean, variance = tf.nn.moments(cut, [1, 2, 4], keepdims=True)
        normed = (cut - mean) / tf.sqrt(variance + 1e-3)
        return tf.reshape(normed, SHAPE) * SCALE + BIAS

    return run


def without_scale(x: Any) -> Any:
    mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-5)


def over_rows_only(x: Any) -> Any:
    mean, variance = tf.nn.moments(x, [1], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-5)


def epsilon_outside_the_root(x: Any) -> Any:
    mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
    return (x - mean) / (tf.sqrt(variance) + 1e-4)


def of_keras(groups: int) -> Callable[[Any], Any]:
    keras = pytest.importorskip("keras")
    layer = keras.layers.GroupNormalization(groups, beta_initializer="normal")
    layer.build(SHAPE)
    return layer


def raised(function: Callable[[Any], Any]) -> tuple[ir.Model, int]:
    model = traced(function, SHAPE)
    changed = raise_group_norms(model).changed
    collapse_views(model)
    return model, changed


@pytest.mark.parametrize(
    ("function", "plain"),
    [
        (by_moments(2), False),
        (by_moments(4), False),
        (by_moments(8), True),
        (without_scale, True),
        (of_keras(4), False),
        (of_keras(-1), True),
    ],
    ids=["2 groups", "4 groups", "8 groups", "no scale", "Keras, 4", "Keras, instance"],
)
def test_norm_is_raised(
    function: Callable[[Any], Any], plain: bool, rng: np.random.Generator
) -> None:
    model, changed = raised(function)
    assert changed == 1
    found = ops(model)
    assert found["InstanceNormalization"] == 1
    assert not found["Sqrt"] + found["ReduceMean"]
    assert found["Mul"] == (0 if plain else 1)
    x = rng.normal(1, 2, SHAPE).astype(np.float32)
    np.testing.assert_allclose(evaluated(model, x), np.asarray(function(tf.constant(x))), atol=3e-6)


@pytest.mark.parametrize("function", [over_rows_only, epsilon_outside_the_root])
def test_other_norms_stay(function: Callable[[Any], Any]) -> None:
    model, changed = raised(function)
    assert changed == 0
    assert ops(model)["Sqrt"] == 1


@pytest.mark.parametrize("shape", ["2,6,5,4", "2,6", "N,6,7"])
def test_group_normalization_of_newer_opsets(shape: str, rng: np.random.Generator) -> None:
    text = f"""<ir_version: 10, opset_import: ["" : 21]>
        agraph (float[{shape}] x) => (float[{shape}] y)
        {{ y = GroupNormalization <num_groups = 3, epsilon = 0.01> (x, s, b) }}"""
    proto = onnx.parser.parse_model(text)
    for name in "sb":
        array = rng.standard_normal(6).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    x = rng.standard_normal([int(n) if n != "N" else 3 for n in shape.split(",")])
    x = x.astype(np.float32)
    expected = onnx.reference.ReferenceEvaluator(proto).run(None, {"x": x})[0]
    model = ir.from_proto(proto)
    assert lower_group_norms(model).changed == 1
    convert_opset(model)
    np.testing.assert_allclose(evaluated(model, x), expected, atol=1e-4)
