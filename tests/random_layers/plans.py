"""Random models as lists of steps, each with its own seed, so that a step can be left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ocr_trt.ocr.detector import covers

from . import functions, maps, sequences
from .draw import Draw, Layer, UnfitError, known

CLASSES = 9
"""Classes of a recognizer, with the blank."""
_POLICIES = (*["float32"] * 16, "mixed_float16", "mixed_bfloat16", "float64")
_FORMATS = (*["keras"] * 4, "h5", "saved_model", "saved_model")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a random model consists of."""

    role: str
    format: str
    policy: str
    batch: int | None
    """The size of the batch axis; None: free."""
    shape: tuple[int, int, int]
    """Height, width and channels of the image."""
    is_free: bool
    """Whether the model leaves the width open; a detector the height as well."""
    maps: tuple[tuple[str, int], ...]
    """Name and seed of each layer on the map."""
    sequences: tuple[tuple[str, int], ...]
    """The same for the sequence; of a detector, around the token axis."""
    seed: int
    """Of the choices that belong to no layer."""


def _named(*tables: tuple[tuple[int, Layer], ...]) -> tuple[dict[str, Layer], tuple[str, ...]]:
    """Return layers by name, and their names as often as they are drawn."""
    found: dict[str, Layer] = {}
    drawn: list[str] = []
    for table in tables:
        for share, layer in table:
            name = f"{layer.__module__.rsplit('.', 1)[-1]}.{layer.__name__}"
            found[name] = layer
            drawn += [name] * share
    return found, tuple(drawn)


_MAPS, _MAPS_DRAWN = _named(maps.LAYERS, functions.LAYERS)
_SEQUENCES, _SEQUENCES_DRAWN = _named(sequences.LAYERS, functions.LAYERS)


def draw_plan(seed: int, number: int) -> Plan:
    """Return the plan of one model."""
    draw = Draw(seed, number)
    is_detector = draw.chance(0.5)
    sizes = (16, 20, 24, 31, 32, 33, 37, 48)
    height = draw.of(sizes) if is_detector else draw.one(8, 12, 16, 17, 24, 32)
    has_tokens = not is_detector or draw.chance(0.3)
    length = draw.int(1, 4) if has_tokens else 0
    return Plan(
        role="detector" if is_detector else "recognizer",
        format=draw.of(_FORMATS),
        policy=draw.of(_POLICIES),
        batch=draw.one(None, None, None, 1),
        shape=(height, draw.of(sizes), draw.one(1, 3)),
        is_free=draw.chance(0.15),
        maps=tuple((draw.of(_MAPS_DRAWN), draw.int(0, 9999)) for _ in range(draw.int(1, 6))),
        sequences=tuple((draw.of(_SEQUENCES_DRAWN), draw.int(0, 9999)) for _ in range(length)),
        seed=draw.int(0, 9999),
    )


def _apply(steps: Sequence[tuple[str, int]], table: dict[str, Layer], x: Any) -> Any:
    for name, seed in steps:
        try:
            y = table[name](Draw(seed), x)
        except (UnfitError, ValueError, TypeError, NotImplementedError):
            continue  # this layer does not exist for this tensor
        sizes = [size for size in y.shape[1:] if size is not None]
        if len(y.shape) == len(x.shape) and min(sizes) > 0 and np.prod(sizes) < 60_000:
            x = y
    return x


def _columns(draw: Draw, x: Any) -> Any:
    """Turn a map (N, H, W, C) into a sequence (N, W, ...)."""
    height, width, channels = x.shape[1:]
    (height,) = known(height)
    way = draw.int(0, 5) if width is not None else draw.int(4, 6)
    if way == 0:
        return layers.Reshape((width, height * channels))(layers.Permute((2, 1, 3))(x))
    if way == 1:
        return layers.Reshape((-1, height * channels))(ops.transpose(x, (0, 2, 1, 3)))
    if way == 2:
        return layers.TimeDistributed(layers.Flatten())(layers.Permute((2, 1, 3))(x))
    if way == 3:
        return layers.Reshape((height * width, channels))(x)
    if way == 4:
        return ops.mean(x, axis=1)
    if way == 5:
        return ops.squeeze(layers.Conv2D(8, (height, 1), activation="relu")(x), 1)
    return ops.max(x, axis=1)


def _tokens(plan: Plan, x: Any) -> Any:
    """Run layers on the pixels as tokens, and make a map of them again."""
    height, width, channels = known(*x.shape[1:])
    if height * width > 400:
        x = layers.AveragePooling2D(2, padding="same")(x)
        height, width, channels = known(*x.shape[1:])
    tokens = layers.Reshape((height * width, channels))(x)
    for step in plan.sequences:
        y = _apply([step], _SEQUENCES, tokens)
        tokens = y if y.shape[1] == height * width else tokens
    return layers.Reshape((height, width, tokens.shape[-1]))(tokens)


def build(plan: Plan) -> keras.Model:
    """Build the model, with random weights.

    Raises:
        UnfitError: the steps produce no model.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(plan.seed)
    keras.config.set_dtype_policy(plan.policy)
    try:
        return _randomized(_built(plan, Draw(plan.seed)), np.random.default_rng(plan.seed))
    except (ValueError, TypeError, NotImplementedError) as error:
        raise UnfitError(str(error)) from error
    finally:
        keras.config.set_dtype_policy("float32")


def _built(plan: Plan, draw: Draw) -> keras.Model:
    height, width, channels = plan.shape
    if plan.is_free:
        height, width = None if plan.role == "detector" else height, None
    image = keras.Input((height, width, channels), batch_size=plan.batch, name="image")
    x = _apply(plan.maps, _MAPS, image)
    if x is image:
        x = layers.Conv2D(4, 3, padding="same")(x)
    if plan.role == "detector":
        if plan.sequences and None not in x.shape[1:]:
            x = _tokens(plan, x)
        if not plan.is_free and not (covers(height, x.shape[1]) and covers(width, x.shape[2])):
            x = layers.Resizing(height, width)(x)  # a map that covers a part only is refused
        x = layers.Conv2D(draw.int(1, 3), 1)(x)
        head = draw.one("sigmoid", "sigmoid", "tanh", "softmax")
        return keras.Model(image, layers.Activation(head)(x))
    if x.shape[1] is None:
        raise UnfitError("the height is free")
    if max(x.shape[1], x.shape[2] or 0) > 64:
        x = layers.MaxPooling2D(2)(x)
    x = _apply(plan.sequences, _SEQUENCES, _columns(draw, x))
    if x.shape[-1] is None:
        raise UnfitError("the number of channels is free")
    head = draw.one("softmax", "softmax", "log_softmax", "tanh")
    if draw.chance(0.5):
        return keras.Model(image, layers.Dense(CLASSES, activation=head)(x))
    return keras.Model(image, layers.Activation(head)(layers.Dense(CLASSES, use_bias=False)(x)))


def _randomized(model: keras.Model, rng: np.random.Generator) -> keras.Model:
    """Replace the initial weights, among which are too many zeros and ones."""
    for weight in model.weights:
        shape, name = tuple(weight.shape), weight.path.rsplit("/", 1)[-1]
        if "float" not in str(weight.dtype) or "seed" in weight.path:
            continue
        if "variance" in name:
            value = rng.uniform(0.5, 1.5, shape)
        elif name in ("gamma", "scale"):
            value = rng.uniform(0.6, 1.4, shape)
        elif len(shape) < 2:
            value = rng.uniform(-0.3, 0.3, shape)
        else:
            value = rng.normal(0, 1.2 / np.sqrt(max(1, np.prod(shape[:-1]))), shape)
        weight.assign(value)
    return model


def save(model: keras.Model, plan: Plan, folder: Path) -> Path:
    """Write a model in the format of its plan."""
    if plan.format == "saved_model":
        path = folder / "model"
        model.export(path, format="tf_saved_model", verbose=False)
        return path
    path = folder / f"model.{plan.format}"
    model.save(path)
    return path
