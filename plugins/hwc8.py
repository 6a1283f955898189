"""TensorRT's channel-packed format of float16, HWC8.

It stores (N, C, H, W) as (N, H, W, G, 8) with G = ceil(C / 8): eight channels side by side, and
zeros after the last channel. TensorRT prefers it for convolutions in float16. It reformats the
inputs and outputs of a plugin that does not accept it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .plugin import Array, Attributes, Example, Plugin

CHANNELS_PER_GROUP = 8


def packed(array: Array) -> Array:
    """Convert (N, C, H, W) to HWC8, as (N, H, W, 8 G)."""
    batch, channels, height, width = array.shape
    # ceil(C / 8) groups. Zeros fill the last one.
    groups = -(-channels // CHANNELS_PER_GROUP)
    result = np.zeros((batch, height, width, CHANNELS_PER_GROUP * groups), array.dtype)
    result[..., :channels] = array.transpose(0, 2, 3, 1)
    return result


def in_hwc8(plugin: Plugin) -> Plugin:
    """Return the op with its HWC8 kernels as its kernels, to be verified like any other op.

    Its examples are the float16 ones, packed; its reference accepts and returns packed arrays.

    Raises:
        ValueError: the op has no kernels for HWC8.
    """
    launch = plugin.launch_hwc8
    if launch is None:
        raise ValueError(f"{plugin.name} has no kernels for HWC8")

    def reference(inputs: Sequence[Array], attributes: Attributes) -> tuple[Array, ...]:
        # (N, H, W, 8 G) -> (N, 8 G, H, W), so the zero channels go through the op as well.
        linear = [array.transpose(0, 3, 1, 2) for array in inputs]
        return tuple(x.transpose(0, 2, 3, 1) for x in plugin.reference(linear, attributes))

    def examples() -> list[Example]:
        return [
            replace(example, name=f"{example.name} HWC8", inputs=tuple(map(packed, example.inputs)))
            for example in plugin.examples()
            if example.inputs[0].dtype == np.float16
        ]

    return replace(plugin, launch=launch, reference=reference, examples=examples)
