"""Recognizers with attention as language models write it: (N, 32, 96, 1) to logits (N, T, 37)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .blocks import conv, with_random_weights
from .recognizers import CLASSES


def _rotated(x: Any) -> Any:
    """Rotate the halves of each head of (N, T, H, D) by an angle that grows with the position."""
    from keras import ops

    length, size = x.shape[1], x.shape[3]
    angles = np.arange(length)[:, None] / 100.0 ** (np.arange(0, size, 2) / size)  # (T, D / 2)
    angles = np.concatenate([angles, angles], -1)[:, None].astype(np.float32)  # (T, 1, D)
    left, right = ops.split(x, 2, -1)
    return x * np.cos(angles) + ops.concatenate([-right, left], -1) * np.sin(angles)


def grouped_queries() -> Any:
    """Causal attention whose heads share keys and values; rotary positions; gated MLPs."""
    import keras
    from keras import layers, ops

    image = keras.Input((32, 96, 1), name="image")
    x = conv(conv(image, 12, stride=2), 24, stride=(4, 2))  # (N, 4, 24, 24)
    x = ops.max(x, 1)
    y = layers.RMSNormalization()(x)
    x = x + layers.GroupQueryAttention(8, 4, 2)(y, y, use_causal_mask=True)
    y = layers.RMSNormalization()(x)
    query, key, value = (layers.Reshape((24, 3, 8))(layers.Dense(24)(y)) for _ in range(3))
    scores = ops.einsum("bthd,bshd->bhts", _rotated(query), _rotated(key)) * 8**-0.5
    y = ops.einsum("bhts,bshd->bthd", ops.softmax(scores), value)
    x = x + layers.Dense(24)(layers.Reshape((24, 24))(y))
    y = layers.RMSNormalization()(x)
    x = x + layers.Dense(24)(ops.silu(layers.Dense(48)(y)) * layers.Dense(48)(y))
    return with_random_weights(keras.Model(image, layers.Dense(CLASSES)(x)))


def master() -> Any:
    """MASTER: global context blocks; a transformer decoder, unrolled over four characters."""
    import keras
    from keras import layers, ops

    image = keras.Input((32, 96, 1), name="image")
    x = conv(conv(conv(image, 12, stride=2), 16, stride=2), 24, stride=(2, 1))  # (N, 4, 24, 24)
    context = layers.GlobalAveragePooling2D(keepdims=True)(x)
    context = layers.LayerNormalization()(layers.Dense(6)(context))
    memory = layers.Reshape((96, 24))(x + layers.Dense(24)(layers.ReLU()(context)))
    embed, classify = layers.Embedding(CLASSES, 24), layers.Dense(CLASSES)
    own, other = layers.MultiHeadAttention(2, 12), layers.MultiHeadAttention(2, 12)
    norms = [layers.LayerNormalization() for _ in range(2)]
    places = np.random.default_rng(0).normal(0, 0.5, (1, 4, 24)).astype(np.float32)
    text, scores = ops.zeros_like(ops.cast(memory[:, :1, 0], "int32")), []
    for step in range(4):
        x = embed(text) + places[:, : step + 1]
        x = norms[0](x + own(x, x, use_causal_mask=True))
        x = norms[1](x + other(x, memory))
        scores.append(classify(x[:, -1]))
        # Without keepdims, because Keras before 3.14 states a wrong shape with it.
        best = ops.expand_dims(ops.cast(ops.argmax(scores[-1], -1), "int32"), -1)
        text = ops.concatenate([text, best], 1)
    return with_random_weights(keras.Model(image, ops.stack(scores, 1)))
