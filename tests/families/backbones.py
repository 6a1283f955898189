"""U-Nets with an encoder of ``keras.applications``: (N, 64, 96, 3) to (N, 64, 96, 1).

Encoders whose convolutions do not pad have odd sizes; the decoder resizes to each of them.
"""

from __future__ import annotations

from typing import Any

from .blocks import conv, with_random_weights

_SIZE = (64, 96)


def _skips(encoder: Any) -> list[Any]:
    """Return the last map of each size, largest first."""
    found: dict[tuple[int, int], Any] = {}
    for layer in encoder.layers:
        shape = getattr(layer.output, "shape", ())
        if len(shape) == 4 and shape[1] is not None and shape[1] < _SIZE[0]:
            found[shape[1:3]] = layer.output
    halves = [(_SIZE[0] >> n, _SIZE[1] >> n) for n in range(1, 6)]
    sizes = halves if all(size in found for size in halves) else sorted(found, reverse=True)
    return [found[size] for size in sizes]


def unet(name: str, rescaling: tuple[float, float] | None = None, **options: Any) -> Any:
    """Return a U-Net on pixels from -1 to 1 with the encoder ``keras.applications.<name>``."""
    import keras
    from keras import layers, ops

    create = getattr(keras.applications, name)
    encoder = create(include_top=False, weights=None, input_shape=(*_SIZE, 3), **options)
    encoder = keras.Model(encoder.input, _skips(encoder))
    image = keras.Input((*_SIZE, 3), name="image")
    *skips, x = encoder(layers.Rescaling(*rescaling)(image) if rescaling else image)
    for skip in reversed(skips):
        rows, columns = skip.shape[1:3]
        x = layers.Conv2D(8, 1)(x)
        is_double = (2 * x.shape[1], 2 * x.shape[2]) == (rows, columns)
        x = layers.UpSampling2D(2)(x) if is_double else ops.image.resize(x, (rows, columns))
        x = conv(layers.Concatenate()([x, skip]), 8)
    x = ops.image.resize(x, _SIZE)
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
