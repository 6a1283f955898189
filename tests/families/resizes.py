"""Models that resize by every method of TensorFlow, and ones whose features tie."""

from __future__ import annotations

from typing import Any

import numpy as np

from .blocks import conv, with_random_weights


def tf1_resizes() -> bytes:
    """TensorFlow 1: nearest, bilinear, bicubic and area, with and without align_corners."""
    import tensorflow as tf

    v1 = tf.compat.v1
    rng = np.random.default_rng(2)

    def filters(*shape: int) -> Any:
        return tf.constant(rng.normal(0, shape[-2] ** -0.5, shape).astype(np.float32))

    with v1.Graph().as_default() as graph:
        image = v1.placeholder("float32", [None, 64, 96, 3], name="image")
        x = tf.nn.relu(tf.nn.conv2d(image, filters(3, 3, 3, 8), 4, "SAME"))
        kinds = ("nearest_neighbor", "bilinear", "bicubic")
        modes = ({"align_corners": True}, {"half_pixel_centers": True}, {})
        parts = [
            getattr(v1.image, f"resize_{kind}")(x, [31, 50], **mode)
            for kind in kinds
            for mode in modes
        ]
        parts += [v1.image.resize_area(x, [31, 50], align_corners=mode) for mode in (False, True)]
        x = tf.nn.conv2d(tf.concat(parts, -1), filters(1, 1, 88, 1), 1, "SAME")
        x = v1.image.resize_nearest_neighbor(x, tf.shape(image)[1:3], half_pixel_centers=True)
        tf.sigmoid(x, name="map")
    return graph.as_graph_def().SerializeToString()


def resize_kinds() -> Any:
    """``tf.image.resize`` by eight methods, with and without antialias, up and down."""
    import keras
    import tensorflow as tf
    from keras import layers

    class Resize(layers.Layer):
        def __init__(self, size: tuple[int, int], method: str, antialias: bool = False) -> None:
            super().__init__()
            self.size, self.method, self.antialias = size, method, antialias

        def call(self, x: Any) -> Any:
            return tf.image.resize(x, self.size, self.method, antialias=self.antialias)

        def compute_output_spec(self, x: Any) -> Any:
            return keras.KerasTensor((x.shape[0], *self.size, x.shape[3]), x.dtype)

    image = keras.Input((64, 96, 3), name="image")
    x = conv(image, 4, stride=2)
    methods = (
        *("bilinear", "nearest", "bicubic", "area"),
        *("lanczos3", "lanczos5", "gaussian", "mitchellcubic"),
    )
    down = [Resize((16, 25), m, aa)(x) for m in methods for aa in (False, True)]
    up = [Resize((64, 96), m)(conv(layers.Concatenate()(down), 4)) for m in methods]
    x = layers.Conv2D(1, 1, activation="sigmoid")(layers.Concatenate()(up))
    return with_random_weights(keras.Model(image, x))


def odd_skips() -> Any:
    """U-Net of odd sizes: features are resized to the sizes of skips, 16x24, 31x47 and 62x94."""
    import keras
    import tensorflow as tf
    from keras import layers

    class ResizeLike(layers.Layer):
        def __init__(self, method: str) -> None:
            super().__init__()
            self.method = method

        def call(self, x: Any, like: Any) -> Any:
            return tf.image.resize(x, tf.shape(like)[1:3], self.method)

        def compute_output_spec(self, x: Any, like: Any) -> Any:
            return keras.KerasTensor((*like.shape[:3], x.shape[3]), x.dtype)

    x = image = keras.Input((64, 96, 3), name="image")
    skips = []
    for number, filters in enumerate((8, 8, 16, 16)):
        padding = "same" if number else "valid"  # 62x94, 31x47, 16x24, 8x12
        x = layers.Conv2D(filters, 3, 2 if number else 1, padding, activation="relu")(x)
        skips.append(x)
    x = skips.pop()
    for method in ("bilinear", "nearest", "bicubic"):
        skip = skips.pop()
        x = conv(layers.Concatenate()([ResizeLike(method)(x, skip), skip]), 8)
    x = ResizeLike("bilinear")(x, image)
    return with_random_weights(keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x)))


def segnet_without_activations() -> Any:
    """Max-unpooling without activations, on images with large areas of one color."""
    import keras
    from keras import layers

    from ocr_trt.models.keras_layers import MaxPoolArgmax2D, MaxUnpool2D

    x = image = keras.Input((64, 96, 3), name="image")
    places = []
    for _ in range(3):
        x = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x))
        x, place = MaxPoolArgmax2D()(x)
        places.append(place)
    for _ in range(3):
        x = layers.Conv2D(8, 3, padding="same")(MaxUnpool2D()(x, places.pop()))
    return with_random_weights(keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x)))
