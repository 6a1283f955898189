"""Models in other float types than float32, and fake quantization with other than 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import detectors, recognizers


def _in_policy(policy: str, build: Any) -> Any:
    """Build a model whose layers have Keras' mixed-precision policy."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(before)


def mixed_float16() -> Any:
    """A recognizer with two-directional LSTMs, trained with Keras' policy ``mixed_float16``."""
    return _in_policy("mixed_float16", recognizers.crnn)


def mixed_bfloat16() -> Any:
    """Encoder and decoder with Keras' policy ``mixed_bfloat16``, output included."""
    return _in_policy("mixed_bfloat16", detectors.linknet)


def float64() -> Any:
    """Group normalization, PReLU and depth-to-space with Keras' policy ``float64``."""
    return _in_policy("float64", detectors.group_norm)


def fake_quant_10_bits() -> Any:
    """Fake quantization of weights and activations with 10 and 16 bits, per tensor and channel."""
    import tensorflow as tf

    quantization = tf.quantization

    class Network(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            rng = np.random.default_rng(3)
            shapes = ((3, 3, 3, 8), (3, 3, 8, 8), (1, 1, 8, 1))
            self.kernels = [tf.Variable(rng.normal(0, 0.3, s).astype(np.float32)) for s in shapes]

        @tf.function(input_signature=[tf.TensorSpec([None, 64, 96, 3], name="image")])
        def __call__(self, image: Any) -> Any:
            first, second, third = self.kernels
            kernel = quantization.fake_quant_with_min_max_args(first, -1.0, 1.0, num_bits=10)
            x = tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "SAME"))
            x = quantization.fake_quant_with_min_max_args(x, 0.0, 6.0, num_bits=16)
            peaks = tf.reduce_max(tf.abs(second), [0, 1, 2])
            kernel = quantization.fake_quant_with_min_max_vars_per_channel(
                second, -peaks, peaks, num_bits=10, narrow_range=True
            )
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"))
            x = quantization.quantize_and_dequantize_v2(
                x, 0.0, 8.0, signed_input=False, num_bits=16, range_given=True
            )
            return {"map": tf.sigmoid(tf.nn.conv2d(x, third, 1, "SAME"))}

    return Network()
