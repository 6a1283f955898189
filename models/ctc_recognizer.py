"""The reference recognizer: CNN -> sinusoidal positions -> transformer encoder -> CTC logits."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from .keras_layers import SinusoidalPositions

CHARSET = "".join(map(chr, range(32, 127)))
"""Printable ASCII, 95 characters. Class 0 of the logits is the CTC blank, class k is CHARSET[k -
1].
"""

HEIGHT = 32
STRIDE = 2
"""Pixels of width per CTC time step. The network has one position per 4 pixels and outputs two time
steps for each. With one, "ll" in a narrow font would not fit: CTC needs three steps for it, two
letters and the blank between them.
"""

DIM, HEADS, HIDDEN, BLOCKS = 192, 4, 512, 3


def _conv(x: Any, filters: int, name: str, strides: tuple[int, int] = (1, 1)) -> Any:
    x = layers.Conv2D(filters, 3, strides, "same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _encoder_block(x: Any, name: str) -> Any:
    """Pre-norm transformer encoder block, (N, T, DIM) -> (N, T, DIM)."""
    y = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm1")(x)
    y = layers.MultiHeadAttention(HEADS, DIM // HEADS, name=f"{name}_attention")(y, y)
    x = layers.Add(name=f"{name}_add1")([x, y])
    y = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm2")(x)
    y = layers.Dense(HIDDEN, name=f"{name}_expand")(y)
    y = layers.Activation("gelu", name=f"{name}_gelu")(y)
    y = layers.Dense(DIM, name=f"{name}_project")(y)
    return layers.Add(name=f"{name}_add2")([x, y])


def build_recognizer() -> keras.Model:
    """Return the untrained recognizer.

    Input ``image``: (N, 32, W, 1) float32 gray in [-1, 1], W a multiple of 4.
    Output ``logits``: (N, W/2, 96) float32, class 0 is the blank.
    """
    image = keras.Input((HEIGHT, None, 1), name="image")
    x = _conv(image, 32, "stem", (2, 2))  # (N, 16, W/2, 32)
    x = _conv(x, 64, "stage1")
    x = _conv(x, 128, "stage2a", (2, 2))  # (N, 8, W/4, 128)
    x = _conv(x, 128, "stage2b")
    x = _conv(x, 192, "stage3a", (2, 1))  # (N, 4, W/4, 192)
    x = _conv(x, 192, "stage3b")
    x = layers.Conv2D(DIM, (4, 1), name="collapse")(x)  # (N, 1, W/4, DIM)
    x = layers.Reshape((-1, DIM), name="sequence")(x)  # (N, W/4, DIM)
    x = SinusoidalPositions(name="positions")(x)
    for number in range(1, BLOCKS + 1):
        x = _encoder_block(x, f"block{number}")
    x = layers.LayerNormalization(epsilon=1e-5, name="norm")(x)
    classes = 1 + len(CHARSET)
    x = layers.Dense(2 * classes, dtype="float32", name="classes")(x)  # (N, W/4, 2 * 96)
    logits = layers.Reshape((-1, classes), dtype="float32", name="logits")(x)  # (N, W/2, 96)
    return keras.Model(image, logits, name="recognizer")
