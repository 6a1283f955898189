"""Keras layers that round like an int8 engine, with the gradients of layers that do not.

They use the straight-through estimator (Bengio et al., 2013): the forward pass rounds, the backward
pass treats rounding as the identity.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

LEVELS = 127
"""The largest rounded activation."""


def straight_through(value: Any, rounded: Any) -> Any:
    """Return ``rounded``, with the gradient of ``value``."""
    return value + ops.stop_gradient(rounded - value)


@keras.saving.register_keras_serializable("ocr_trt")
class FakeQuantize(layers.Layer):
    """Rounds activations to int8 with one scale, from a moving average of the largest |x|.

    In training the range follows the batches. An exported model contains TensorFlow's own
    ``fake_quant_with_min_max_vars`` with constant bounds, which converters support.
    """

    def __init__(self, momentum: float = 0.95, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def build(self, input_shape: Any) -> None:
        self.peak = self.add_weight(
            name="peak", shape=(), initializer="zeros", trainable=False, dtype="float32"
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if training:
            seen = ops.cast(ops.max(ops.abs(inputs)), "float32")
            kept = self.momentum * self.peak + (1 - self.momentum) * seen
            # The first batch sets the range; 0 is its initial value.
            self.peak.assign(ops.where(self.peak > 0, kept, seen))
        scale = ops.maximum(self.peak / LEVELS, 1e-7)
        low, high = -(LEVELS + 1) * scale, LEVELS * scale
        if not training and keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)
        inside = ops.clip(inputs, low, high)
        return straight_through(inside, ops.round(inside / scale) * scale)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum}


class _RoundedKernel:
    """Rounds a layer's kernel on each read, with one scale per output.

    ``levels``: 127, or 63 for processors that sum two products in 16 bits.
    """

    levels = 127

    @property
    def kernel(self) -> Any:
        kernel = super().kernel  # type: ignore[misc]
        axes = tuple(range(len(kernel.shape) - 1))  # all but the output axis, the last one
        scale = ops.maximum(ops.max(ops.abs(kernel), axes, keepdims=True) / self.levels, 1e-7)
        return straight_through(kernel, ops.round(kernel / scale) * scale)


class RoundedConv2D(_RoundedKernel, layers.Conv2D):
    """Conv2D with a rounded kernel."""


class RoundedDense(_RoundedKernel, layers.Dense):
    """Dense with a rounded kernel."""


class RoundedEinsumDense(_RoundedKernel, layers.EinsumDense):
    """EinsumDense, which projects in attention, with a rounded kernel."""


ROUNDED: dict[type, type] = {
    layers.Conv2D: RoundedConv2D,
    layers.Dense: RoundedDense,
    layers.EinsumDense: RoundedEinsumDense,
}
