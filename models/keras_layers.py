"""Keras 3 layers of the reference models that Keras itself does not have.

Each pooling layer exists in two forms that give the same numbers, bit for bit:

* ``native``: ``tf.nn.max_pool_with_argmax`` and ``tf.scatter_nd``, what TensorFlow users write.
  Models are exported in this form, which TensorRT cannot parse.
* ``window``: plain ``keras.ops`` on 2x2 windows, for every Keras backend, and faster in training.
"""

from __future__ import annotations

from typing import Any, Literal

import keras
import numpy as np
from keras import ops

Form = Literal["native", "window"]


def _windows(x: Any) -> Any:
    """Cut (N, H, W, C) into its 2x2 windows: (N, H/2, W/2, 4, C), row-major inside a window.

    Channels stay innermost: moving whole pixels is twice as fast as moving single numbers.
    """
    channels = x.shape[-1]
    batch, height, width, _ = ops.shape(x)
    x = ops.reshape(x, (batch, height // 2, 2, width // 2, 2, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (batch, height // 2, width // 2, 4, channels))


def _unwindows(x: Any) -> Any:
    """Inverse of :func:`_windows`: (N, H/2, W/2, 4, C) back to (N, H, W, C)."""
    channels = x.shape[-1]
    batch, height, width, _, _ = ops.shape(x)
    x = ops.reshape(x, (batch, height, width, 2, 2, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (batch, height * 2, width * 2, channels))


def _first_maximum(windows: Any) -> Any:
    """One-hot (N, h, w, 4, C), in the dtype of ``windows``, of the first maximum of each window."""
    values = ops.unstack(windows, 4, axis=-2)
    largest = ops.max(windows, axis=-2)
    # ``taken`` marks windows whose maximum was found, so that later equal values stay 0.
    masks, taken = [], ops.zeros_like(largest, dtype="bool")
    for value in values:
        mask = ops.logical_and(value >= largest, ops.logical_not(taken))
        taken = ops.logical_or(taken, mask)
        masks.append(mask)
    return ops.stop_gradient(ops.cast(ops.stack(masks, axis=-2), windows.dtype))


@keras.saving.register_keras_serializable("ocr_trt")
class MaxPoolArgmax2D(keras.layers.Layer):
    """2x2 max-pooling with stride 2 that also returns the place of each maximum.

    Input (N, H, W, C) float with even H and W. Output: the maxima (N, H/2, W/2, C), and their
    places: ``native``: int64 (N, H/2, W/2, C), flat index ``(y * W + x) * C + c`` inside one
    image, the convention of ``tf.nn.max_pool_with_argmax``; ``window``: (N, H/2, W/2, 4, C),
    one-hot over the window. The first maximum in row-major order wins a tie in
    both.
    """

    def __init__(self, form: Form = "native", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.form = form

    def call(self, x: Any) -> tuple[Any, Any]:
        if self.form == "native":
            import tensorflow as tf

            return tuple(tf.nn.max_pool_with_argmax(x, 2, 2, "VALID", include_batch_in_index=False))
        windows = _windows(x)
        places = _first_maximum(windows)
        return ops.sum(windows * places, axis=-2), places

    def compute_output_spec(self, x: Any) -> tuple[Any, Any]:
        batch, height, width, channels = x.shape
        pooled = (batch, height and height // 2, width and width // 2, channels)
        if self.form == "native":
            return keras.KerasTensor(pooled, x.dtype), keras.KerasTensor(pooled, "int64")
        return keras.KerasTensor(pooled, x.dtype), keras.KerasTensor(
            (*pooled[:3], 4, channels), x.dtype
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "form": self.form}


@keras.saving.register_keras_serializable("ocr_trt")
class MaxUnpool2D(keras.layers.Layer):
    """Puts each value back where :class:`MaxPoolArgmax2D` found its maximum; zeros elsewhere.

    Inputs: values (N, H, W, C) and the places of the matching pooling layer. Output (N, 2H, 2W, C).
    """

    def __init__(self, form: Form = "native", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.form = form

    def call(self, values: Any, places: Any) -> Any:
        if self.form == "window":
            return _unwindows(ops.expand_dims(values, -2) * places)
        import tensorflow as tf

        # scatter_nd into (N, 4 h w C): a place is an index within its image, so add the image's.
        batch, height, width, _ = tf.unstack(tf.shape(values))
        channels = values.shape[3]
        size = tf.cast(4 * height * width * channels, tf.int64)
        per_image = height * width * channels
        images = tf.repeat(tf.range(tf.cast(batch, tf.int64)), per_image)
        flat = tf.stack([images, tf.reshape(places, [-1])], axis=1)
        spread = tf.scatter_nd(
            flat, tf.reshape(values, [-1]), tf.stack([tf.cast(batch, tf.int64), size])
        )
        return tf.reshape(spread, tf.stack([batch, 2 * height, 2 * width, channels]))

    def compute_output_spec(self, values: Any, places: Any) -> Any:
        batch, height, width, channels = values.shape
        return keras.KerasTensor(
            (batch, height and 2 * height, width and 2 * width, channels), values.dtype
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "form": self.form}


@keras.saving.register_keras_serializable("ocr_trt")
class SinusoidalPositions(keras.layers.Layer):
    """Adds the fixed positions of "Attention Is All You Need", section 3.5.

    (N, T, D) -> (N, T, D).
    The first D/2 channels hold the sines, the last D/2 the cosines, of wavelengths from 2*pi to
    10000*2*pi. T may change from call to call.
    """

    def call(self, x: Any) -> Any:
        half = x.shape[-1] // 2
        rates = np.exp(-np.log(10000.0) * np.arange(half) / half).astype("float32")
        steps = ops.cast(ops.arange(ops.shape(x)[1]), "float32")
        angles = ops.expand_dims(steps, 1) * ops.convert_to_tensor(rates[None, :])
        return x + ops.cast(ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=1), x.dtype)
