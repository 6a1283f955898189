"""A constant behind a convolution becomes its bias only if it has a value for each channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.convert.sources import open_source
from ocr_trt.spec import SourceSpec

tf = pytest.importorskip("tensorflow")


@pytest.mark.parametrize("shape", [(), (1,), (4,), (4, 1, 1), (1, 4, 1), (1, 1, 1, 4)])
def test_constant_behind_a_convolution(shape: tuple[int, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # An image of 4 x 4 with 4 channels, so that each axis could be mistaken for the channels.
    kernel = tf.constant(rng.normal(0, 1, (3, 3, 2, 4)).astype(np.float32))
    added = tf.constant(rng.normal(0, 1, shape).astype(np.float32))

    class Net(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 4, 4, 2], name="image")])
        def __call__(self, image: Any) -> dict[str, Any]:
            x = tf.nn.conv2d(image, kernel, 1, "SAME")
            return {"map": tf.nn.max_pool2d(x + added, 2, 1, "SAME")}

    net = Net()
    tf.saved_model.save(net, str(tmp_path / "m"))
    graph = open_source(SourceSpec(path=tmp_path / "m")).to_onnx("image", (1, 4, 4, 2), "map").model
    image = rng.normal(0, 1, (1, 4, 4, 2)).astype(np.float32)
    (result,) = onnx_session(graph).run(None, {"image": image})
    np.testing.assert_allclose(result, net(tf.constant(image))["map"], atol=1e-5)


def test_factor_behind_a_convolution_leaves_a_shared_kernel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kernel = tf.constant(rng.normal(0, 1, (3, 3, 2, 4)).astype(np.float32))
    factor = tf.constant(rng.normal(0, 1, (4,)).astype(np.float32))

    class Net(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 4, 4, 2], name="image")])
        def __call__(self, image: Any) -> dict[str, Any]:
            x = tf.nn.conv2d(image, kernel, 1, "SAME") * factor
            y = tf.nn.conv2d(-image, kernel, 1, "SAME")
            return {"map": tf.nn.max_pool2d(x, 2, 1, "SAME") + y}

    net = Net()
    tf.saved_model.save(net, str(tmp_path / "m"))
    graph = open_source(SourceSpec(path=tmp_path / "m")).to_onnx("image", (1, 4, 4, 2), "map").model
    image = rng.normal(0, 1, (1, 4, 4, 2)).astype(np.float32)
    (result,) = onnx_session(graph).run(None, {"image": image})
    np.testing.assert_allclose(result, net(tf.constant(image))["map"], atol=1e-5)
