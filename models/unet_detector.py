"""The reference detector: a U-Net whose decoder unpools with the encoder's argmax, as in SegNet.

The output is the probability of being inside a *shrunk* text region, as in "Real-time Scene Text
Detection with Differentiable Binarization" (Liao et al., 2020), so that touching words stay apart.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from .keras_layers import Form, MaxPoolArgmax2D, MaxUnpool2D

STAGES = (24, 48, 80, 128)  # channels
BOTTLENECK = 160
SHRINK_RATIO = 0.6


def _conv(x: Any, filters: int, size: int, name: str, strides: int = 1) -> Any:
    x = layers.Conv2D(filters, size, strides, "same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def build_detector(form: Form = "native") -> keras.Model:
    """Return the untrained detector.

    Input ``image``: (N, H, W, 3) float32 RGB in [-1, 1], H and W any multiples of 32.
    Output ``probability``: (N, H, W, 1) float32 in [0, 1].
    """
    image = keras.Input((None, None, 3), name="image")  # (N, H, W, 3)
    # The stem halves the sides once and each stage once more: 2**5 = 32.
    x = _conv(image, STAGES[0], 3, "stem", strides=2)
    skips, places = [], []
    for number, filters in enumerate(STAGES, 1):
        x = _conv(x, filters, 3, f"down{number}a")
        x = _conv(x, filters, 3, f"down{number}b")
        skips.append(x)
        x, place = MaxPoolArgmax2D(form, name=f"pool{number}")(x)
        places.append(place)
    x = _conv(x, BOTTLENECK, 3, "bottom_a")
    x = _conv(x, BOTTLENECK, 3, "bottom_b")
    for number, filters in reversed(list(enumerate(STAGES, 1))):
        x = _conv(x, filters, 1, f"up{number}a")
        x = MaxUnpool2D(form, name=f"unpool{number}")(x, places[number - 1])
        x = layers.Concatenate(name=f"up{number}_skip")([x, skips[number - 1]])
        x = _conv(x, filters, 3, f"up{number}b")
    # Back from half the image's size; the sigmoid stays in float32 under mixed precision.
    x = layers.Conv2DTranspose(1, 2, 2, name="head_deconv")(x)
    probability = layers.Activation("sigmoid", dtype="float32", name="probability")(x)
    return keras.Model(image, probability, name="detector")
