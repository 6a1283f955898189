"""ImageToTensor: from a decoded image to a model's input in one pass. See README.md."""

from __future__ import annotations

from ..plugin import Plugin
from .attributes import detector_attributes, line_attributes
from .kernel import ENTRIES, SOURCE, launch
from .reference import examples, image_to_tensor

NAME = "ImageToTensor"

PLUGIN = Plugin(
    name=NAME,
    reference=lambda inputs, attributes: (image_to_tensor(inputs, attributes),),
    source=SOURCE,
    entries=ENTRIES,
    launch=launch,
    examples=examples,
    tolerance=1e-4,
)

__all__ = [
    "NAME",
    "PLUGIN",
    "detector_attributes",
    "image_to_tensor",
    "line_attributes",
]
