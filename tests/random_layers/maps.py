"""Layers from a map (N, H, W, C) to a map."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from .draw import Draw, Layer, UnfitError, known

LARGEST = 96
"""Height and width that no enlarging layer exceeds."""


def _kernel(draw: Draw) -> Any:
    return draw.one(1, 2, 3, 3, 3, 5, (1, 3), (3, 1), (2, 3))


def _steps(draw: Draw, x: Any) -> Any:
    """Return strides, if the map is large enough for them."""
    if min(size or 32 for size in x.shape[1:3]) < 6:
        return 1
    return draw.one(1, 1, 1, 2, 2, (2, 1), (1, 2))


def conv(draw: Draw, x: Any) -> Any:
    channels = x.shape[-1]
    groups = draw.divisor(channels) if draw.chance(0.2) else 1
    strides = _steps(draw, x)
    return layers.Conv2D(
        groups * draw.int(1, max(1, 12 // groups)),
        _kernel(draw),
        strides,
        draw.one("same", "same", "valid"),
        dilation_rate=draw.one(1, 1, 2, 3, (1, 2)) if strides == 1 else 1,
        groups=groups,
        activation=draw.activation(),
        use_bias=draw.chance(0.7),
    )(x)


def depthwise(draw: Draw, x: Any) -> Any:
    strides = draw.one(1, 1, 2) if _steps(draw, x) != 1 else 1
    return layers.DepthwiseConv2D(
        _kernel(draw),
        strides,
        draw.one("same", "valid"),
        depth_multiplier=draw.one(1, 1, 2),
        dilation_rate=draw.one(1, 1, 2) if strides == 1 else 1,
        activation=draw.activation(),
        use_bias=draw.chance(0.5),
    )(x)


def separable(draw: Draw, x: Any) -> Any:
    return layers.SeparableConv2D(
        draw.int(1, 10),
        _kernel(draw),
        draw.one(1, 1, 2),
        draw.one("same", "valid"),
        depth_multiplier=draw.one(1, 2),
        activation=draw.activation(),
    )(x)


def transposed(draw: Draw, x: Any) -> Any:
    if max(size or 48 for size in x.shape[1:3]) * 2 > LARGEST:
        raise UnfitError("too large")
    strides = draw.one(1, 2, 2, (1, 2), (2, 1), 3)
    largest = min(strides) if isinstance(strides, tuple) else strides
    return layers.Conv2DTranspose(
        draw.int(1, 8),
        _kernel(draw),
        strides,
        draw.one("same", "valid"),
        output_padding=draw.int(0, largest - 1) if largest > 1 and draw.chance(0.3) else None,
        dilation_rate=draw.one(1, 2) if strides == 1 else 1,
        activation=draw.activation(),
    )(x)


def conv3d(draw: Draw, x: Any) -> Any:
    height, width, channels = known(*x.shape[1:])
    x = layers.Reshape((height, width, channels, 1))(x)
    if draw.chance(0.4):
        x = layers.MaxPooling3D((1, 2, 1), padding="same")(x)
    x = layers.Conv3D(draw.int(1, 3), draw.one(1, 3, (1, 3, 3)), padding="same")(x)
    return layers.Reshape((x.shape[1], x.shape[2], -1))(x)


def pool(draw: Draw, x: Any) -> Any:
    if min(size or 32 for size in x.shape[1:3]) < 6:
        raise UnfitError("too small")
    kind = draw.one(layers.MaxPooling2D, layers.AveragePooling2D)
    size = draw.one(2, 2, 3, (2, 1), (1, 2), (3, 2))
    strides = draw.one(None, None, 1, 2, (2, 1))
    return kind(size, strides, draw.one("same", "valid"))(x)


def adaptive_pool(draw: Draw, x: Any) -> Any:
    # Not AdaptiveMaxPooling2D: on some inputs it ends TensorFlow's own process with SIGFPE.
    kind = draw.one(layers.AdaptiveAveragePooling2D, layers.AdaptiveAveragePooling2D)
    height, width = known(*x.shape[1:3])
    sizes = draw.int(1, min(height, 12)), draw.int(1, min(width, 24))
    if None in x.shape[1:3]:  # an image may be smaller than the result
        return layers.AveragePooling2D(2, padding="same")(x)
    return kind(sizes)(x)


def squeeze_excite(draw: Draw, x: Any) -> Any:
    kind = draw.one(layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
    gate = kind(keepdims=draw.chance(0.7))(x)
    gate = layers.Dense(draw.int(1, 4), activation=draw.activation())(gate)
    gate = layers.Dense(x.shape[-1], activation=draw.one("sigmoid", "hard_sigmoid"))(gate)
    if len(gate.shape) == 2:
        gate = layers.Reshape((1, 1, x.shape[-1]))(gate)
    return layers.Multiply()([x, gate])


def upsample(draw: Draw, x: Any) -> Any:
    if max(size or 48 for size in x.shape[1:3]) * 2 > LARGEST:
        raise UnfitError("too large")
    size = draw.one(2, 2, 2, (1, 2), (2, 1), 3)
    kind = draw.one("nearest", "nearest", "bilinear", "bilinear", "bicubic", "lanczos3", "lanczos5")
    return layers.UpSampling2D(size, interpolation=kind)(x)


def resize(draw: Draw, x: Any) -> Any:
    size = draw.int(3, 40), draw.int(3, 60)
    kind = draw.one("bilinear", "bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5")
    if draw.chance(0.4):
        return ops.image.resize(
            x, size, interpolation=draw.one("bilinear", "nearest"), antialias=draw.chance(0.3)
        )
    return layers.Resizing(
        *size,
        interpolation=kind,
        crop_to_aspect_ratio=draw.chance(0.1),
        pad_to_aspect_ratio=draw.chance(0.1),
    )(x)


def preprocess(draw: Draw, x: Any) -> Any:
    height, width = (size or 32 for size in x.shape[1:3])
    channels = x.shape[-1]
    return draw.of(
        (
            lambda: layers.Rescaling(draw.one(0.5, -2.0), draw.one(0.0, 0.25)),
            lambda: layers.Normalization(
                mean=[0.1 * i for i in range(channels)], variance=[0.5 + i for i in range(channels)]
            ),
            lambda: layers.Normalization(
                mean=0.1, variance=2.0, invert=draw.chance(0.3), axis=None
            ),
            lambda: layers.CenterCrop(
                max(2, height - draw.int(0, 5)), max(2, width - draw.int(0, 5))
            ),
            lambda: layers.RandomFlip(),
            lambda: layers.RandomRotation(0.1),
            lambda: layers.RandomZoom(0.1),
            lambda: layers.RandomTranslation(0.1, 0.1),
            lambda: layers.RandomContrast(0.1),
            lambda: layers.RandomBrightness(0.1, value_range=(-1, 1)),
            lambda: layers.RandomCrop(max(2, height - 3), max(2, width - 4)),
            lambda: layers.RandomShear(0.1, 0.1),
            lambda: layers.RandomErasing(),
        )
    )()(x)


def norm(draw: Draw, x: Any) -> Any:
    channels = x.shape[-1]
    axis = draw.one(-1, -1, (1, 2, 3), (2, 3), 1)
    if axis == 1 or axis == (2, 3) or axis == (1, 2, 3):
        known(*x.shape[1:])
    return draw.of(
        (
            lambda: layers.BatchNormalization(scale=draw.chance(0.8), center=draw.chance(0.8)),
            lambda: layers.BatchNormalization(epsilon=1e-2),
            lambda: layers.BatchNormalization(axis=draw.one(3, 1) if x.shape[1] else 3),
            lambda: layers.LayerNormalization(axis=axis, scale=draw.chance(0.8)),
            lambda: layers.LayerNormalization(epsilon=1e-5, center=draw.chance(0.5)),
            lambda: layers.GroupNormalization(draw.divisor(channels)),
            lambda: layers.GroupNormalization(-1, scale=draw.chance(0.5)),
            lambda: layers.UnitNormalization(axis=draw.one(-1, (2, 3), 1)),
            lambda: layers.RMSNormalization(axis=draw.one(-1, -1, (2, 3))),
            lambda: layers.SpectralNormalization(layers.Conv2D(draw.int(1, 8), 3, padding="same")),
        )
    )()(x)


def activation(draw: Draw, x: Any) -> Any:
    known_axes = None not in x.shape[1:3]
    return draw.of(
        (
            lambda: layers.Activation(draw.activation() or "relu"),
            lambda: layers.LeakyReLU(0.2),
            lambda: layers.PReLU(
                shared_axes=[1, 2] if not known_axes or draw.chance(0.7) else None
            ),
            lambda: layers.ELU(0.7),
            lambda: layers.Softmax(axis=draw.one(-1, 1, (1, 2))),
            lambda: layers.ReLU(
                max_value=draw.one(None, 6.0, 1.0), negative_slope=draw.one(0.0, 0.1)
            ),
            lambda: layers.ReLU(threshold=draw.one(0.0, 0.3)),
        )
    )()(x)


def pad_or_crop(draw: Draw, x: Any) -> Any:
    if min(size or 32 for size in x.shape[1:3]) < 6:
        raise UnfitError("too small")
    sides = ((draw.int(0, 2), draw.int(0, 2)), (draw.int(0, 2), draw.int(0, 2)))
    return draw.one(layers.ZeroPadding2D, layers.Cropping2D)(draw.one(1, sides))(x)


def dense(draw: Draw, x: Any) -> Any:
    channels = draw.int(1, 10)
    if draw.chance(0.3):
        return layers.EinsumDense("abcd,de->abce", (None, None, channels), bias_axes="e")(x)
    if draw.chance(0.2):
        known(*x.shape[1:3])
        return layers.EinsumDense(
            draw.one("abcd,cde->abce", "abcd,bd->abcd"), (*x.shape[1:3], channels)
        )(x)
    return layers.Dense(channels, activation=draw.activation(), use_bias=draw.chance(0.7))(x)


def drop(draw: Draw, x: Any) -> Any:
    kinds = (
        layers.Dropout,
        layers.SpatialDropout2D,
        layers.GaussianDropout,
        layers.GaussianNoise,
        layers.AlphaDropout,
    )
    return draw.of(kinds)(0.2)(x)


def skip(draw: Draw, x: Any) -> Any:
    """Merge a branch with what it started from."""
    channels = x.shape[-1]
    y = layers.Conv2D(channels, draw.one(1, 3), padding="same", activation=draw.activation())(x)
    if draw.chance(0.5):
        y = norm(draw, y)
    merges = (
        layers.Add,
        layers.Add,
        layers.Concatenate,
        layers.Multiply,
        layers.Subtract,
        layers.Average,
        layers.Maximum,
        layers.Minimum,
    )
    return draw.of(merges)()([x, y] if draw.chance(0.5) else [y, x])


def unet(draw: Draw, x: Any) -> Any:
    """Go down, up, and concatenate."""
    height, width = (size or 32 for size in x.shape[1:3])
    if min(height, width) < 6 or height % 2 or width % 2:
        raise UnfitError("odd")
    y = draw.one(layers.MaxPooling2D, layers.AveragePooling2D)(2)(x)
    y = conv_same(draw, y)
    y = layers.UpSampling2D(2, interpolation=draw.one("nearest", "bilinear"))(y)
    return layers.Concatenate()([x, y])


def conv_same(draw: Draw, x: Any) -> Any:
    return layers.Conv2D(draw.int(2, 8), 3, padding="same", activation=draw.activation())(x)


def nested(draw: Draw, x: Any) -> Any:
    """A Sequential as a layer, called once or twice."""
    channels = x.shape[-1]
    block = keras.Sequential(
        [layers.Conv2D(channels, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()]
    )
    return block(block(x)) if draw.chance(0.5) else block(x)


def through_vector(draw: Draw, x: Any) -> Any:
    """Flatten, Dense, and back to a map."""
    height, width, channels = known(*x.shape[1:])
    if height * width * channels > 2000:
        raise UnfitError("too large")
    h, w, c = draw.int(2, 6), draw.int(2, 8), draw.int(1, 4)
    return layers.Reshape((h, w, c))(layers.Dense(h * w * c)(layers.Flatten()(x)))


def permuted(draw: Draw, x: Any) -> Any:
    """Run a layer on permuted axes."""
    known(*x.shape[1:])
    order = draw.one((2, 1, 3), (3, 1, 2), (1, 3, 2), (2, 3, 1))
    y = layers.Permute(order)(x)
    y = draw.of((dense, norm, activation, conv_same))(draw, y)
    back = [0, 0, 0]
    for i, axis in enumerate(order):
        back[axis - 1] = i + 1
    return layers.Permute(back)(y)


def shuffle(draw: Draw, x: Any) -> Any:
    """Shuffle channels, or move pixels into channels and back."""
    height, width, channels = known(*x.shape[1:])
    if draw.chance(0.5):
        groups = draw.divisor(channels)
        y = layers.Reshape((height, width, groups, channels // groups))(x)
        return layers.Reshape((height, width, channels))(layers.Permute((1, 2, 4, 3))(y))
    h, w = draw.divisor(height), draw.divisor(width)
    if h * w > 8:
        raise UnfitError("too many channels")
    y = layers.Reshape((height // h, h, width // w, w, channels))(x)
    y = layers.Permute((1, 3, 2, 4, 5))(y)
    return layers.Reshape((height // h, width // w, h * w * channels))(y)


def time_distributed(draw: Draw, x: Any) -> Any:
    known(*x.shape[1:])
    inner = draw.of(
        (
            lambda: layers.Dense(draw.int(1, 8)),
            lambda: layers.Conv1D(draw.int(1, 8), 3, padding="same"),
            lambda: layers.BatchNormalization(),
            lambda: layers.LSTM(draw.int(2, 5), return_sequences=True),
        )
    )()
    return layers.TimeDistributed(inner)(x)


def conv_lstm(draw: Draw, x: Any) -> Any:
    height, width, channels = known(*x.shape[1:])
    if height > 24:
        raise UnfitError("slow")
    if draw.chance(0.5):
        return layers.ConvLSTM1D(draw.int(1, 4), 3, padding="same", return_sequences=True)(x)
    y = layers.Reshape((height, width, channels, 1))(x)
    return layers.ConvLSTM2D(draw.int(1, 4), draw.one(1, 3), padding="same")(y)


LAYERS: tuple[tuple[int, Layer], ...] = (
    *((5, conv), (2, depthwise), (2, separable), (2, transposed), (1, conv3d), (3, pool)),
    *((1, adaptive_pool), (2, squeeze_excite), (2, upsample), (1, resize), (2, preprocess)),
    *((4, norm), (4, activation), (2, pad_or_crop), (2, dense), (1, drop), (4, skip), (2, unet)),
    *((1, nested), (1, through_vector), (2, permuted), (2, shuffle), (1, time_distributed)),
    (1, conv_lstm),
)
"""How often a layer is drawn, and the layer."""
