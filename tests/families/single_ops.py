"""Models with ops that ONNX lacks; ``convert/tf_ops`` writes them with others."""

from __future__ import annotations

from typing import Any

import numpy as np

from .blocks import conv, with_random_weights
from .recognizers import CLASSES


def _kernel(*shape: int) -> Any:
    import tensorflow as tf

    scale = int(np.prod(shape[:-1])) ** -0.5
    values = np.random.default_rng(sum(shape)).normal(0, scale, shape)
    return tf.constant(values, tf.float32)


def region_crops() -> Any:
    """Patches of the image, a crop of a constant box and one of a box computed from the image."""
    import tensorflow as tf

    class Net(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 64, 96, 3], name="image")])
        def __call__(self, image: Any) -> Any:
            count = tf.shape(image)[0]
            patches = tf.image.extract_patches(
                image, [1, 3, 3, 1], [1, 2, 2, 1], [1, 2, 2, 1], "SAME"
            )
            x = tf.nn.relu(tf.nn.conv2d(patches, _kernel(3, 3, 27, 8), 1, "SAME"))
            boxes = tf.tile([[0.1, 0.1, 0.9, 1.05]], [count, 1])
            fixed = tf.image.crop_and_resize(x, boxes, tf.range(count), [32, 48])
            corner = 0.4 * tf.sigmoid(tf.reduce_mean(x, [1, 2])[:, :2])
            boxes = tf.concat([corner, corner + 0.5], 1)
            moving = tf.image.crop_and_resize(x, boxes, tf.range(count), [32, 48])
            x = tf.concat([x, fixed, moving], -1)
            x = tf.nn.relu(tf.nn.conv2d(x, _kernel(3, 3, 24, 16), 1, "SAME"))
            x = tf.nn.depth_to_space(x, 2)
            return {"map": tf.sigmoid(tf.nn.conv2d(x, _kernel(3, 3, 4, 1), 1, "SAME"))}

    return Net()


def odd_activations() -> Any:
    """Safe divisions, logarithms and entropies, morphology, color space, shifted windows."""
    import tensorflow as tf

    m = tf.math

    class Net(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 64, 96, 3], name="image")])
        def __call__(self, image: Any) -> Any:
            x = tf.concat([image, tf.image.rgb_to_hsv(image * 0.5 + 0.5)], -1)
            x = tf.nn.crelu(tf.nn.conv2d(x, _kernel(3, 3, 6, 8), 2, "SAME"))
            x = x + 0.1 * tf.nn.dilation2d(
                x, 0.1 * _kernel(3, 3, 16), [1] * 4, "SAME", "NHWC", [1] * 4
            )
            share = m.divide_no_nan(x, tf.reduce_sum(x, -1, keepdims=True))
            entropy = -tf.reduce_sum(m.xlogy(share, share), -1, keepdims=True)
            x = tf.concat([m.log1p(x), m.expm1(-x), tf.nn.softsign(x), entropy], -1)
            x = tf.nn.selu(tf.nn.conv2d(x, _kernel(1, 1, 49, 16), 1, "SAME"))
            x = tf.nn.gelu(x) + m.erf(tf.roll(x, [-2, 3], [1, 2]))
            x = m.l2_normalize(x, -1) * m.xdivy(x, 1.0 + tf.abs(x))
            x = tf.nn.depth_to_space(tf.nn.leaky_relu(x), 2)
            return {"map": tf.sigmoid(tf.nn.conv2d(x, 4.0 * _kernel(3, 3, 4, 1), 1, "SAME"))}

    return Net()


def global_filters() -> Any:
    """A global filter network: Fourier transforms along both axes, times learned filters."""
    import keras
    import tensorflow as tf
    from keras import layers

    class GlobalFilter(layers.Layer):
        def build(self, shape: Any) -> None:
            _, height, width, channels = shape
            size = (channels, height, width // 2 + 1)
            self.real = self.add_weight(name="real", shape=size)
            self.imag = self.add_weight(name="imag", shape=size)

        def call(self, x: Any) -> Any:
            # The transform runs along the last two axes: (N, C, H, W).
            spectrum = tf.signal.rfft2d(tf.transpose(x, [0, 3, 1, 2]))
            spectrum *= tf.complex(self.real, self.imag)
            x = tf.signal.irfft2d(spectrum, x.shape[1:3])
            return tf.transpose(x, [0, 2, 3, 1])

        def compute_output_spec(self, x: Any) -> Any:
            return keras.KerasTensor(x.shape, x.dtype)

    image = keras.Input((32, 96, 1), name="image")
    x = conv(image, 16, 4, stride=4)
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.LayerNormalization(epsilon=1e-6)(GlobalFilter()(y))
        y = layers.Dense(16)(layers.Dense(32, activation="gelu")(y))
        x = layers.Add()([x, y])
    x = layers.Conv2D(16, (8, 1), activation="relu")(x)
    x = layers.Reshape((-1, 16))(x)
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))
