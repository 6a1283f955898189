"""``keras.ops`` and Lambda layers on a map or a sequence."""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from .draw import Draw, Layer, UnfitError, known


def elementwise(draw: Draw, x: Any) -> Any:
    return draw.of(
        (
            lambda: ops.log1p(ops.abs(x)),
            lambda: ops.clip(x, -0.8, 0.9),
            lambda: ops.where(x > 0, x, 0.1 * x),
            lambda: ops.sqrt(ops.square(x) + 0.1),
            lambda: ops.sin(x) + ops.cos(x),
            lambda: ops.rsqrt(ops.square(x) + 1.0) * x,
            lambda: ops.erf(x),
            lambda: ops.sign(x) * ops.minimum(ops.abs(x), 1.0),
            lambda: ops.exp(-ops.abs(x)),
            lambda: ops.floor(x * 0.5) * 0.0 + x,
            lambda: ops.maximum(x, ops.zeros_like(x)) - 0.5,
            lambda: ops.logaddexp(x, 0.0),
            lambda: ops.arctan(x),
            lambda: ops.power(ops.abs(x) + 0.1, 0.5),
            lambda: ops.nan_to_num(x) / 2.0,
            lambda: ops.cast(ops.cast(x, "float16"), x.dtype),
            lambda: ops.relu6(x + 3.0) / 6.0 * x,
            lambda: 1.0 - x,
            lambda: -x / (1.0 + ops.abs(x)),
        )
    )()


def reductions(draw: Draw, x: Any) -> Any:
    axis = draw.one(-1, 1, len(x.shape) - 2)
    kind = draw.of((ops.mean, ops.max, ops.min, ops.sum, ops.std, ops.var, ops.logsumexp, ops.amax))
    y = kind(x, axis=axis, keepdims=True)
    if draw.chance(0.2):
        y = ops.norm(x, axis=axis, keepdims=True) + 1.0
    return draw.of((lambda: x - y, lambda: x * ops.sigmoid(y), lambda: ops.tanh(x + y)))()


def rearrangements(draw: Draw, x: Any) -> Any:
    rank, channels = len(x.shape), x.shape[-1]
    axis = draw.int(1, rank - 1)
    pads = [[0, 0], [draw.int(0, 1), draw.int(0, 2)], *[[0, 0]] * (rank - 2)]
    half = max(1, channels // 2)
    turned = (0, *range(rank - 1, 0, -1))
    return draw.of(
        (
            lambda: ops.flip(x, axis=axis),
            lambda: ops.roll(x, draw.one(1, 2, -1), axis=axis),
            lambda: ops.pad(x, pads, mode=draw.one("reflect", "constant", "symmetric")),
            lambda: ops.concatenate(ops.split(x, [half], axis=-1)[::-1], axis=-1),
            lambda: ops.sum(ops.stack([x, 2.0 * x], axis=-1), axis=-1),
            lambda: ops.repeat(x, 2, axis=rank - 2),
            lambda: ops.tile(x, [1] * (rank - 1) + [2]),
            lambda: ops.take(x, [0, channels - 1, 0], axis=-1),
            lambda: ops.swapaxes(ops.swapaxes(x, 1, 2) * 2.0, 1, 2),
            lambda: x[:, 1:] if (x.shape[1] or 9) > 4 else x,
            lambda: x[:, ::2] if (x.shape[1] or 9) > 4 else x,
            lambda: x[..., ::-1],
            lambda: x[..., :half],
            lambda: ops.squeeze(ops.expand_dims(x, 1), 1),
            lambda: ops.concatenate([x, ops.zeros_like(x[..., :1])], axis=-1),
            lambda: ops.transpose(ops.transpose(x, turned) + 1.0, turned),
        )
    )()


def products(draw: Draw, x: Any) -> Any:
    letters = "bhwc" if len(x.shape) == 4 else "btc"
    known(*x.shape[1:])
    gram = ops.einsum(f"{letters},{letters[:-1]}d->bcd", x, x) / 100.0
    return ops.einsum(f"{letters},bcd->{letters[:-1]}d", x, ops.softmax(gram))


def choices(draw: Draw, x: Any) -> Any:
    channels = x.shape[-1]
    return draw.of(
        (
            lambda: ops.concatenate(
                [x, ops.one_hot(ops.argmax(x, axis=-1), channels, dtype=x.dtype)], axis=-1
            ),
            lambda: ops.top_k(x, min(2, channels))[0],
            lambda: ops.sort(x, axis=-1),
            lambda: ops.cumsum(x, axis=-1),
            lambda: x * ops.cast(ops.greater(x, ops.mean(x)), x.dtype),
        )
    )()


def map_functions(draw: Draw, x: Any) -> Any:
    if len(x.shape) != 4:
        raise UnfitError("not a map")
    known(*x.shape[1:])
    return draw.of(
        (
            lambda: ops.image.extract_patches(x, draw.one(2, 3), draw.one(None, 1), padding="same"),
            lambda: ops.max_pool(x, 2, 1, padding="same"),
            lambda: ops.average_pool(x, 3, 1, padding="same"),
            lambda: ops.image.pad_images(x, 1, 1, x.shape[1] + 2, x.shape[2] + 1),
            lambda: ops.image.crop_images(
                x, 1, 1, target_height=x.shape[1] - 2, target_width=x.shape[2] - 2
            ),
            lambda: ops.image.rgb_to_grayscale(x),
        )
    )()


def lambda_layer(draw: Draw, x: Any) -> Any:
    function = draw.of((lambda t: t * 2.0 + 1.0, lambda t: abs(t) - 0.1))
    return layers.Lambda(function, output_shape=tuple(x.shape[1:]))(x)


LAYERS: tuple[tuple[int, Layer], ...] = (
    *((4, elementwise), (3, reductions), (4, rearrangements), (1, products), (1, choices)),
    *((1, map_functions), (1, lambda_layer)),
)
"""How often a layer is drawn, and the layer."""
