"""U-Nets with an encoder of ``keras.applications``: (N, H, W, 3) to (N, H, W, 1).

Encoders whose convolutions do not pad have odd sizes; the decoder resizes to each of them.
"""

from __future__ import annotations

from typing import Any

from .blocks import conv, with_random_weights

SIZE = (64, 96)
"""Height and width in pixels."""


def _skips(encoder: Any, height: int, width: int) -> list[Any]:
    """Return the last map of each size below (height, width), largest first."""
    found: dict[tuple[int, int], Any] = {}
    for layer in encoder.layers:
        shape = getattr(layer.output, "shape", ())
        if len(shape) == 4 and shape[1] is not None and shape[1] < height:
            found[shape[1:3]] = layer.output
    halves = [(height >> n, width >> n) for n in range(1, 6)]
    sizes = halves if all(size in found for size in halves) else sorted(found, reverse=True)
    return [found[size] for size in sizes]


def unet(
    name: str,
    rescaling: tuple[float, float] | None = None,
    size: tuple[int, int] = SIZE,
    **options: Any,
) -> Any:
    """Return a U-Net with the encoder ``keras.applications.<name>`` for images of one size."""
    import keras
    from keras import layers, ops

    create = getattr(keras.applications, name)
    encoder = create(include_top=False, weights=None, input_shape=(*size, 3), **options)
    encoder = keras.Model(encoder.input, _skips(encoder, *size))
    image = keras.Input((*size, 3), name="image")
    *skips, x = encoder(layers.Rescaling(*rescaling)(image) if rescaling else image)
    for skip in reversed(skips):
        rows, columns = skip.shape[1:3]
        x = layers.Conv2D(8, 1)(x)
        is_double = (2 * x.shape[1], 2 * x.shape[2]) == (rows, columns)
        x = layers.UpSampling2D(2)(x) if is_double else ops.image.resize(x, (rows, columns))
        x = conv(layers.Concatenate()([x, skip]), 8)
    x = ops.image.resize(x, size)
    x = layers.Conv2D(1, 1, activation="sigmoid")(x)
    return with_random_weights(keras.Model(image, x))


def mobilenet_v3_unet() -> Any:
    """U-Net on MobileNetV3 with a Rescaling in front: hard swish, squeeze-excite, skips."""
    return unet("MobileNetV3Small", (127.5, 127.5))


def densenet_unet() -> Any:
    """U-Net on DenseNet121: batch norm and ReLU in front of convolutions, many Concats."""
    return unet("DenseNet121")


def convnext_unet() -> Any:
    """U-Net on ConvNeXt: layer norms over channels, GELU, layer scales, stochastic depth."""
    return unet("ConvNeXtTiny", (127.5, 127.5))
