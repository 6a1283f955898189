"""Layers from a sequence (N, T, C) to a sequence."""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from .draw import Draw, Layer, UnfitError, known


def dense(draw: Draw, x: Any) -> Any:
    channels = draw.int(2, 12)
    if draw.chance(0.2):
        return layers.EinsumDense("abc,cd->abd", (None, channels), bias_axes="d")(x)
    if draw.chance(0.1):
        heads = draw.int(1, 3)
        y = layers.EinsumDense("abc,cde->abde", (None, heads, channels), bias_axes="de")(x)
        return layers.EinsumDense("abde,dec->abc", (None, x.shape[-1]), bias_axes="c")(y)
    return layers.Dense(channels, activation=draw.activation(), use_bias=draw.chance(0.7))(x)


def norm(draw: Draw, x: Any) -> Any:
    return draw.of(
        (
            lambda: layers.LayerNormalization(
                epsilon=draw.one(1e-3, 1e-6), center=draw.chance(0.8)
            ),
            lambda: layers.LayerNormalization(axis=draw.one(1, (1, 2))),
            lambda: layers.BatchNormalization(),
            lambda: layers.RMSNormalization(),
            lambda: layers.UnitNormalization(),
            lambda: layers.GroupNormalization(draw.divisor(x.shape[-1])),
            lambda: layers.Normalization(axis=None, mean=0.1, variance=0.7),
        )
    )()(x)


def conv(draw: Draw, x: Any) -> Any:
    strides = draw.one(1, 1, 1, 2)
    return draw.of(
        (
            lambda: layers.Conv1D(
                draw.int(1, 10),
                draw.int(1, 5),
                strides,
                draw.one("same", "valid", "causal"),
                dilation_rate=draw.one(1, 1, 2) if strides == 1 else 1,
                activation=draw.activation(),
            ),
            lambda: layers.SeparableConv1D(draw.int(1, 10), 3, padding=draw.one("same", "causal")),
            lambda: layers.DepthwiseConv1D(3, strides, draw.one("same", "valid")),
            lambda: layers.Conv1DTranspose(draw.int(1, 8), draw.int(1, 4), draw.one(1, 2), "same"),
        )
    )()(x)


def pool(draw: Draw, x: Any) -> Any:
    if (x.shape[1] or 16) < 6:
        raise UnfitError("too short")
    return draw.of(
        (
            lambda: layers.MaxPooling1D(
                draw.one(2, 3), draw.one(None, 1), draw.one("same", "valid")
            ),
            lambda: layers.AveragePooling1D(2, padding=draw.one("same", "valid")),
            lambda: layers.UpSampling1D(2),
            lambda: layers.Cropping1D((1, 2)),
            lambda: layers.ZeroPadding1D(draw.one(1, (2, 0))),
            lambda: layers.AdaptiveAveragePooling1D(draw.int(2, 9)),
        )
    )()(x)


def activation(draw: Draw, x: Any) -> Any:
    return draw.of(
        (
            lambda: layers.Activation(draw.activation() or "gelu"),
            lambda: layers.PReLU(shared_axes=[1]),
            lambda: layers.LeakyReLU(),
            lambda: layers.Softmax(axis=draw.one(-1, 1)),
        )
    )()(x)


def attention(draw: Draw, x: Any) -> Any:
    """Self-attention, or attention to a shorter sequence; with or without skip."""
    heads, size = draw.one(1, 2, 4), draw.int(2, 6)
    keys = x
    if x.shape[1] and x.shape[1] > 6 and draw.chance(0.3):
        keys = layers.MaxPooling1D(2)(x)
    is_causal = draw.chance(0.2)
    kind = draw.int(0, 4)
    if kind <= 1:
        layer = layers.MultiHeadAttention(
            heads, size, value_dim=draw.one(None, 3), use_bias=draw.chance(0.8), dropout=0.1
        )
        y = layer(x, keys, use_causal_mask=is_causal)
    elif kind == 2:
        y = layers.GroupQueryAttention(size, 4, draw.one(1, 2, 4))(
            x, keys, use_causal_mask=is_causal
        )
    elif kind == 3:
        layer = layers.Attention(use_scale=draw.chance(0.5), score_mode=draw.one("dot", "concat"))
        y = layer([x, keys], use_causal_mask=is_causal)
    else:
        y = layers.AdditiveAttention(use_scale=draw.chance(0.5))([x, keys])
    if draw.chance(0.7):
        y = layers.Add()([x, y])
    return layers.LayerNormalization()(y) if draw.chance(0.5) else y


LONGEST = 128
"""The longest sequence that is unrolled, into some thousand nodes."""


def feed_forward(draw: Draw, x: Any) -> Any:
    channels = x.shape[-1]
    y = layers.LayerNormalization()(x) if draw.chance(0.5) else x
    y = layers.Dense(2 * channels, activation=draw.one("gelu", "relu", "silu"))(y)
    y = layers.Dropout(0.1)(layers.Dense(channels)(y))
    return x + y if draw.chance(0.5) else layers.Add()([x, y])


def _settings(draw: Draw, kind: Any, steps: int | None) -> dict[str, Any]:
    """Return settings of a recurrent layer on a sequence of ``steps`` vectors."""
    settings: dict[str, Any] = {"use_bias": draw.chance(0.8)}
    rare = {
        "activation": draw.one("relu", "tanh", "sigmoid", "softsign"),
        "dropout": 0.1,
        "recurrent_dropout": 0.1,
        "go_backwards": True,
        "unroll": True,
    }
    settings |= {name: value for name, value in rare.items() if draw.chance(0.15)}
    if steps is None or steps > LONGEST:
        settings.pop("unroll", None)
    if kind is layers.GRU:
        settings["reset_after"] = draw.chance(0.7)
    if kind is layers.LSTM and draw.chance(0.2):
        settings["recurrent_activation"] = "hard_sigmoid"
    return settings


def recurrent(draw: Draw, x: Any) -> Any:
    units = draw.int(1, 6)
    kind = draw.one(layers.LSTM, layers.LSTM, layers.GRU, layers.GRU, layers.SimpleRNN)
    settings = _settings(draw, kind, x.shape[1])
    if draw.chance(0.15):
        (steps,) = known(x.shape[1])
        return layers.RepeatVector(steps)(kind(units, **settings)(x))
    layer = kind(units, return_sequences=True, **settings)
    if draw.chance(0.5):
        merge = draw.one("concat", "concat", "sum", "ave", "mul")
        if settings.pop("go_backwards", None):
            layer = kind(units, return_sequences=True, **settings)
        layer = layers.Bidirectional(layer, merge_mode=merge)
    if draw.chance(0.1):
        x = layers.Masking(0.0)(x)
    return layer(x)


def cells(draw: Draw, x: Any) -> Any:
    units = draw.int(1, 5)
    cell = draw.of(
        (
            lambda: layers.LSTMCell(units),
            lambda: layers.GRUCell(units),
            lambda: layers.SimpleRNNCell(units),
            lambda: layers.StackedRNNCells([layers.LSTMCell(units), layers.GRUCell(3)]),
            lambda: [layers.LSTMCell(units), layers.LSTMCell(units)],
        )
    )()
    return layers.RNN(cell, return_sequences=True)(x)


def mixer(draw: Draw, x: Any) -> Any:
    """Dense over time."""
    (steps,) = known(x.shape[1])
    y = layers.Permute((2, 1))(x)
    y = layers.Dense(steps, activation=draw.activation())(y)
    return layers.Permute((2, 1))(y) + x


def time_distributed(draw: Draw, x: Any) -> Any:
    if x.shape[1] is None or x.shape[1] > LONGEST:
        raise UnfitError("Keras copies the layer for each step")
    inner = draw.of((lambda: layers.Dense(draw.int(2, 8)), lambda: layers.LayerNormalization()))()
    return layers.TimeDistributed(inner)(x)


def heads(draw: Draw, x: Any) -> Any:
    """Split channels into heads, run a layer, and join them."""
    (steps,) = known(x.shape[1])
    channels = x.shape[-1]
    parts = draw.divisor(channels)
    y = layers.Reshape((steps, parts, channels // parts))(x)
    order = draw.one((2, 1, 3), (1, 2, 3))
    y = layers.Permute(order)(y)
    y = draw.of(
        (lambda: layers.Dense(draw.int(2, 6)), lambda: layers.LayerNormalization(), layers.ReLU)
    )()(y)
    return layers.Reshape((steps, -1))(layers.Permute(order)(y))


def merge(draw: Draw, x: Any) -> Any:
    channels = x.shape[-1]
    y = layers.Dense(channels, activation=draw.one("tanh", "sigmoid", None))(x)
    if draw.chance(0.15):
        known(x.shape[1])
        scores = layers.Dot(axes=(2, 2), normalize=draw.chance(0.3))([x, y])
        return layers.Dot(axes=(2, 1))([scores, x])
    merges = (
        layers.Add,
        layers.Concatenate,
        layers.Multiply,
        layers.Subtract,
        layers.Average,
        layers.Maximum,
        layers.Minimum,
    )
    return draw.of(merges)()([x, y])


def positions(draw: Draw, x: Any) -> Any:
    (steps,) = known(x.shape[1])
    table = layers.Embedding(steps + draw.int(0, 3), x.shape[-1])
    return x + table(ops.arange(steps))


def categories(draw: Draw, x: Any) -> Any:
    """Bins as categories."""
    if x.dtype in ("float16", "bfloat16"):
        raise UnfitError("rounding decides the bin, and the next one is as right")
    bins = layers.Discretization(bin_boundaries=[-1.5, -0.2, 0.4, 2.0])(x[..., 0])
    return layers.Concatenate()([x, layers.Embedding(5, draw.int(1, 4))(bins)])


def drop(draw: Draw, x: Any) -> Any:
    return draw.of(
        (layers.Dropout, layers.SpatialDropout1D, layers.GaussianNoise, layers.AlphaDropout)
    )(0.2)(x)


LAYERS: tuple[tuple[int, Layer], ...] = (
    *((4, dense), (3, norm), (3, conv), (2, pool), (2, activation), (4, attention)),
    *((3, feed_forward), (5, recurrent), (1, cells), (1, mixer), (1, time_distributed)),
    *((2, heads), (3, merge), (2, positions), (1, categories), (1, drop)),
)
"""How often a layer is drawn, and the layer."""
