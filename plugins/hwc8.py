"""TensorRT's channel-packed format of float16, HWC8.

It holds (N, C, H, W) as (N, H, W, G, 8) with G = ceil(C / 8): eight channels side by side, zeros
behind the last. Convolutions in float16 like to work on it, and a plugin that does not take it is
reformatted for, before and behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .plugin import Array, Attributes, Example, Plugin

SIDE = 8
"""Channels side by side."""


def groups_of(channels: int) -> int:
    """Return how many groups of eight so many channels take."""
    return -(-channels // SIDE)


def packed(array: Array) -> Array:
    """Bring (N, C, H, W) to HWC8, as (N, H, W, 8 G)."""
    batch, channels, height, width = array.shape
    found = np.zeros((batch, height, width, SIDE * groups_of(channels)), array.dtype)
    found[..., :channels] = array.transpose(0, 2, 3, 1)
    return found


def in_hwc8(plugin: Plugin) -> Plugin:
    """Return an op as one on HWC8: its float16 examples, packed; what it gives for them, packed.

    Raises:
        ValueError: it has no kernels for HWC8.
    """
    launch = plugin.launch_hwc8
    if launch is None:
        raise ValueError(f"{plugin.name} has no kernels for HWC8")

    def reference(inputs: Sequence[Array], attributes: Attributes) -> tuple[Array, ...]:
        linear = [array.transpose(0, 3, 1, 2) for array in inputs]
        return tuple(x.transpose(0, 2, 3, 1) for x in plugin.reference(linear, attributes))

    def examples() -> list[Example]:
        return [
            replace(example, name=f"{example.name} HWC8", inputs=tuple(map(packed, example.inputs)))
            for example in plugin.examples()
            if example.inputs[0].dtype == np.float16
        ]

    return replace(plugin, launch=launch, reference=reference, examples=examples)
