"""CtcGreedyDecode: best-path decoding of CTC logits on the device. See README.md."""

from __future__ import annotations

from ..plugin import Plugin
from .kernel import ENTRIES, SOURCE, launch
from .reference import ctc_greedy_decode, examples

NAME = "CtcGreedyDecode"

PLUGIN = Plugin(
    name=NAME,
    reference=lambda inputs, attributes: ctc_greedy_decode(inputs[0], attributes["blank"]),
    source=SOURCE,
    entries=ENTRIES,
    launch=launch,
    examples=examples,
    tolerance=2e-6,
)

__all__ = ["NAME", "PLUGIN", "ctc_greedy_decode"]
