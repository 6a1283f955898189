"""All custom ops, by name."""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    box_candidates,
    crop_warp,
    ctc_greedy_decode,
    image_to_tensor,
    max_pool_argmax_2d,
    max_unpool_2d,
)
from .plugin import Plugin

PLUGINS: Mapping[str, Plugin] = {
    module.PLUGIN.name: module.PLUGIN
    for module in (
        max_pool_argmax_2d,
        max_unpool_2d,
        ctc_greedy_decode,
        box_candidates,
        image_to_tensor,
        crop_warp,
    )
}
