"""The metrics of text recognition: character error rate and word accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True, kw_only=True)
class RecognitionScore:
    """Share of exact readings, and edits per true character (which may exceed 1)."""

    word_accuracy: float
    cer: float
    count: int


def recognition_score(read: Sequence[str], truth: Sequence[str]) -> RecognitionScore:
    """Compare readings with the truth; case and punctuation count.

    Raises:
        ValueError: the two have different lengths.
    """
    pairs = list(zip(read, truth, strict=True))
    edits = sum(Levenshtein.distance(a, b) for a, b in pairs)
    characters = sum(map(len, truth))
    exact = sum(a == b for a, b in pairs)
    return RecognitionScore(
        word_accuracy=exact / len(pairs) if pairs else 0.0,
        cer=edits / characters if characters else float(edits > 0),
        count=len(pairs),
    )


def loose(text: str) -> str:
    """Return letters and digits only, in lower case, as most published word accuracies do."""
    return "".join(c for c in text.lower() if c.isalnum())
