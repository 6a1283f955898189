"""Choose the output of a model that has several, and describe its values."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..spec import Role
from .draft_trials import Trials
from .sources import TensorInfo

_GEOMETRY_CHANNELS = (4, 5, 8)
"""Channels of a detector's box geometry: four distances, distances and an angle, four corners."""
_GEOMETRY = re.compile(r"geo|box|quad|offset|angle|direction|embed|simil|border|feature", re.I)
_HELPER = re.compile(r"thresh|link|affin|kernel|center|aux", re.I)
"""Maps that training needs, or that join the regions of the text map."""
_TEXT = re.compile(r"score|prob|shrink|text|region|heat|conf", re.I)
_DIRECTIONS = (1, 2, 4)
"""Classes of a classifier of directions."""
_CLASSES = re.compile(r"logit|prob|soft|ctc|class|pred|score", re.I)


def choose_output(
    outputs: list[TensorInfo], role: Role, *, channel_axis: int = -1, classes: int | None = None
) -> TensorInfo | None:
    """Return the map of a detector, or the class scores of a recognizer or classifier.

    Args:
        outputs: float outputs of the rank that the role requires.
        role: of the model.
        channel_axis: the axis of a map that holds the channels.
        classes: number of classes of a recognizer, if it is known.
    """

    def map_order(info: TensorInfo) -> tuple[bool, bool, bool, int]:
        channels = info.shape[channel_axis] if info.shape else None
        is_geometry = bool(_GEOMETRY.search(info.name)) or channels in _GEOMETRY_CHANNELS
        is_text = bool(_TEXT.search(info.name))
        return (
            is_geometry and not is_text,
            bool(_HELPER.search(info.name)),
            not is_text,
            channels or 0,
        )

    def scores_order(info: TensorInfo) -> tuple[bool, bool]:
        known = info.shape[-1] if info.shape else None
        fits = classes is None or known in (None, classes)
        return not fits, not _CLASSES.search(info.name)

    def direction_order(info: TensorInfo) -> bool:
        classes = info.shape[-1] if info.shape else None
        return classes not in (None, *_DIRECTIONS)

    # min returns the first of equals, in the order of the signature.
    if role == "detector":
        return min(outputs, key=map_order, default=None)
    if role == "classifier":
        return min(outputs, key=direction_order, default=None)
    return min(outputs, key=scores_order, default=None)


def choice_note(chosen: str, outputs: list[str]) -> str:
    """Return a note on the choice, which states how to choose another output."""
    others = ", ".join(name for name in outputs if name != chosen)
    return (
        f"the spec uses the output {chosen}; to use another one ({others}), change output.name in "
        "the spec"
    )


def map_entry(trials: Trials, layout: str) -> dict[str, Any]:
    """Return the channel and the activation of a detector's map, as its values suggest."""
    if trials.noise is None:
        return {}
    axis = 1 if layout == "NCHW" else 3
    channels = trials.noise.shape[axis] if trials.noise.ndim == 4 else 1
    if channels == 2 and trials.has_probabilities(axis):
        return {"channel": 1}  # a softmax over background and text
    # The first channel is the text map, such as in front of EAST's geometry. Two maps without an
    # activation are those of CRAFT, which regresses region and affinity scores from 0 to 1.
    first = np.take(trials.noise, 0, axis) if trials.noise.ndim == 4 else trials.noise
    is_logit = channels != 2 and not (first.min() >= 0 and first.max() <= 1)
    return {"activation": "sigmoid"} if is_logit else {}


def scores_entry(
    trials: Trials, shape: tuple[int | None, ...] | None, own_batch: int
) -> dict[str, Any]:
    """Return the layout and the kind of a recognizer's output.

    Args:
        trials: runs of the model.
        shape: of the output in the signature.
        own_batch: the batch size of the input in the signature; 1 if it is free.
    """
    found: dict[str, Any] = {}
    if trials.has_probabilities(-1):
        found["kind"] = "probabilities"
    first, second = shape[:2] if shape else (None, None)
    # If only one batch size runs: (24, N, C) has a fixed number of steps in front of the batch.
    is_second = second in (None, own_batch) and first not in (None, own_batch)
    if trials.batch_axis == 1 or (trials.batch_axis is None and is_second):
        found["layout"] = "TNC"
    return found
