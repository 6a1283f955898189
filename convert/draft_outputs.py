"""Choose the output of a model that has several, and describe its values."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from ..spec import Role
from .draft_trials import Trials
from .sources import TensorInfo
from .sources.joined_outputs import JOIN

_GEOMETRY_CHANNELS = (4, 5, 8)
"""Channels of a detector's box geometry: four distances, distances and an angle, four corners."""
_GEOMETRY = re.compile(r"geo|box|quad|offset|angle|direction|embed|simil|border|feature", re.I)
_EAST = (5, 8)
"""Channels of EAST's geometry."""
_EAST_UNIT = 512.0
"""Pixels of the input per unit of the geometry, in TensorFlow's EAST."""
_LINK = re.compile(r"link|affin", re.I)
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


def joined_output(
    chosen: TensorInfo, outputs: list[TensorInfo], family: str | None, channel_axis: int
) -> tuple[TensorInfo, dict[str, Any]]:
    """Join a detector's map with the further one that its family needs, if it is another output.

    Args:
        chosen: the output that :func:`choose_output` returned.
        outputs: all float outputs of rank 4.
        family: of the preset; a score beside a geometry of 5 or 8 channels is EAST without it, too.
        channel_axis: the axis of a map that holds the channels.

    Returns:
        The output or several as one ("score + geometry"), and the entries of the spec that follow.
    """

    def channels(info: TensorInfo) -> int | None:
        return info.shape[channel_axis] if info.shape else None

    if channels(chosen) != 1:
        return chosen, {}
    others = [info for info in outputs if info.name != chosen.name]
    geometry = [info for info in others if channels(info) in _EAST]
    links = [info for info in others if channels(info) == 1 and _LINK.search(info.name)]
    if family in (None, "east") and len(geometry) == 1:
        further, entries = geometry[0], {"family": "east"}
    elif family == "craft" and len(links) == 1:
        further, entries = links[0], {"family": "craft"}
    else:
        return chosen, {}
    assert chosen.shape is not None
    shape = list(chosen.shape)
    shape[channel_axis] = 1 + (channels(further) or 0)
    name = f"{chosen.name}{JOIN}{further.name}"
    return TensorInfo(name=name, shape=tuple(shape), dtype=chosen.dtype), entries


def choice_note(chosen: str, outputs: list[str]) -> str:
    """Return a note on the choice, which states how to choose another output."""
    used = chosen.split(JOIN)
    others = ", ".join(name for name in outputs if name not in used)
    if not others:
        return f"the spec joins the outputs {chosen}"
    return (
        f"the spec uses the output {chosen}; to use another one ({others}), change output.name in "
        "the spec"
    )


def map_entry(trials: Trials, layout: str, family: str = "map") -> dict[str, Any]:
    """Return the entries of a detector's output that its values suggest, such as the channel."""
    if trials.noise is None:
        return {}
    axis = 1 if layout == "NCHW" else 3
    channels = trials.noise.shape[axis] if trials.noise.ndim == 4 else 1
    if family == "east":
        return _east_entry(np.moveaxis(trials.noise, axis, 1), channels)
    if family == "craft":
        return {}
    if channels == 2 and trials.has_probabilities(axis):
        return {"channel": 1}  # a softmax over background and text
    # The first channel is the text map, such as in front of EAST's geometry. Two maps without an
    # activation are those of CRAFT, which regresses region and affinity scores from 0 to 1.
    first = np.take(trials.noise, 0, axis) if trials.noise.ndim == 4 else trials.noise
    is_logit = channels != 2 and not (first.min() >= 0 and first.max() <= 1)
    return {"activation": "sigmoid"} if is_logit else {}


def _east_entry(planes: npt.NDArray, channels: int) -> dict[str, Any]:
    """Return the entries of EAST's maps (N, C, H, W): a score, then 5 or 8 channels of geometry."""
    found: dict[str, Any] = {"geometry": "quad" if channels == 1 + max(_EAST) else "rbox"}
    score, lengths = planes[:, 0], planes[:, 1:5]
    if not (score.min() >= 0 and score.max() <= 1):
        found["activation"] = "sigmoid"
    if found["geometry"] == "rbox" and lengths.min() >= 0 and lengths.max() <= 1:
        # Distances of less than a pixel are shares of EAST's largest box.
        found["geometry_scale"] = _EAST_UNIT
    return found


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
