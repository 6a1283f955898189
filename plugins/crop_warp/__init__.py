"""CropWarp: text lines cut out, straightened, scaled and normalized in one pass. See README.md."""

from __future__ import annotations

from ..plugin import Plugin
from .attributes import crop_attributes
from .examples import examples
from .kernel import ENTRIES, SOURCE, launch
from .reference import crop_warp

NAME = "CropWarp"

PLUGIN = Plugin(
    name=NAME,
    reference=lambda inputs, attributes: (crop_warp(inputs, attributes),),
    source=SOURCE,
    entries=ENTRIES,
    launch=launch,
    examples=examples,
    tolerance=1e-4,
)

__all__ = ["NAME", "PLUGIN", "crop_attributes", "crop_warp"]
