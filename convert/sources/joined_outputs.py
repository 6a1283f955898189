"""Several outputs as one: "score + geometry" names two maps that are joined along their channels.

An engine has one output. Families such as EAST have two maps, which together make boxes. Each
format joins them in its own way, so that the network runs once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

JOIN = " + "
"""Between the names in ``output.name`` of a spec."""
_MOST_CHANNELS = 64
"""An axis that is longer is a height or a width."""

Shape = Sequence[int | None] | None


def channel_axis(shapes: Sequence[Shape], default: int = -1) -> int:
    """Return the axis of the channels of maps (N, H, W, C) or (N, C, H, W): 1 or -1.

    ``shapes``: as far as they are known. ``default``: if they do not show the axis.
    """
    known = [shape for shape in shapes if shape is not None and len(shape) == 4]
    # Maps that are joined agree in all axes but the channels.
    for axis in (3, 1):
        sizes = [shape[axis] for shape in known]
        if len(set(sizes)) > 1 and None not in sizes:
            return -1 if axis == 3 else 1
    for axis in (3, 1):
        if known and all((shape[axis] or _MOST_CHANNELS + 1) <= _MOST_CHANNELS for shape in known):
            return -1 if axis == 3 else 1
    return default


def joined_tensors(maps: Sequence[Any]) -> Any:
    """Return TensorFlow tensors joined along their channels; one of rank 3 has one channel."""
    import tensorflow as tf  # imported already: the source is a model of TensorFlow

    axis = channel_axis([tuple(each.shape) if each.shape.rank else None for each in maps])
    planes = [tf.expand_dims(each, axis) if each.shape.rank == 3 else each for each in maps]
    return tf.concat([tf.cast(each, tf.float32) for each in planes], axis)
