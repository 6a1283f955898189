"""Detection and recognition together, by the ICDAR 2015 end-to-end protocol (task 4.4).

Karatzas et al., "ICDAR 2015 Competition on Robust Reading", 2015, and the organizers' script. Boxes
are matched as for detection, whatever text was read; a match counts if its text is also right. Case
is ignored. The protocol allows one sign of ``!?.:,*"()·[]/'`` at either end of the ground truth to
be missing in the reading; other characters must be equal. No lexicon is used. Ground truth boxes
without a text are "don't care", like those that are marked so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..types import Outlines
from .detection import Matching, match_image

SIGNS = "!?.:,*\"()·[]/'"
"""Characters that may be missing at either end of a word."""


def is_same_text(read: str, truth: str) -> bool:
    """Whether a reading is right by the rules of the protocol."""
    truth, read = truth.upper(), read.upper()
    # Without or with the sign at either end of the truth.
    starts = {0, int(truth[:1] in SIGNS)} if truth else {0}
    ends = {len(truth), len(truth) - int(truth[-1:] in SIGNS)} if truth else {0}
    return any(read == truth[start:end] for start in starts for end in ends)


def match_places(
    detected: Outlines, truth: Outlines, texts: Sequence[str | None], ignore: Sequence[bool]
) -> Matching:
    """Match one image's boxes (K, P, 2) to those of the ground truth (M, Q, 2) with a text."""
    unknown = [skip or not text for skip, text in zip(ignore, texts, strict=True)]
    return match_image(detected, truth, unknown)


def match_lines(places: Matching, read: Sequence[str], texts: Sequence[str | None]) -> Matching:
    """Keep the pairs of :func:`match_places` whose text is right.

    Args:
        places: the boxes, matched.
        read: K texts, one per detection.
        texts: M texts of the ground truth.
    """
    pairs = {
        detection: index
        for detection, index in places.pairs.items()
        if is_same_text(read[detection], texts[index] or "")
    }
    return replace(places, pairs=pairs)
