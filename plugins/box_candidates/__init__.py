"""BoxCandidates: the text regions of a probability map in a few kilobytes. See README.md."""

from __future__ import annotations

from ..plugin import Plugin
from .kernel import ENTRIES, SOURCE, launch
from .reference import box_candidates, examples, reference

NAME = "BoxCandidates"

PLUGIN = Plugin(
    name=NAME,
    reference=reference,
    source=SOURCE,
    entries=ENTRIES,
    launch=launch,
    examples=examples,
)

__all__ = ["NAME", "PLUGIN", "box_candidates"]
