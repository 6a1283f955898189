"""Lines of text in an image, before and after the recognizer reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..ocr.crop import crop_quad, ways_to_read
from ..ocr.ctc import Reading
from ..ocr.reading_order import reading_order
from ..ocr.types import Image, Quads, Scores


@dataclass(frozen=True, kw_only=True)
class TextLine:
    """A text and its place in an image.

    ``quad``: (4, 2) float32 (x, y) in the image's pixels, clockwise from the text's top left
    corner. Scores are in 0..1.
    """

    quad: Quads
    text: str
    box_score: float
    text_score: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; coordinates are rounded to 0.1 pixel."""
        return {
            "quad": [[round(float(x), 1), round(float(y), 1)] for x, y in self.quad],
            "text": self.text,
            "box_score": round(self.box_score, 4),
            "text_score": round(self.text_score, 4),
        }


@dataclass(frozen=True, kw_only=True)
class DetectedLines:
    """Boxes to be read, in reading order; a box appears once for each orientation of its text.

    ``quads`` (K, 4, 2), ``scores`` (K,) and K straightened ``crops`` (h, w, 3) RGB. The
    ``line_numbers`` (K,) ascend; all orientations of a box have the same number.
    """

    quads: Quads
    scores: Scores
    crops: tuple[Image, ...]
    line_numbers: tuple[int, ...]


def text_lines(lines: DetectedLines, readings: Sequence[Reading]) -> list[TextLine]:
    """Combine K boxes and their readings; boxes without text are dropped.

    Of several orientations of a box the one with the highest text score is used.
    """
    best: dict[int, TextLine] = {}
    for number, quad, score, reading in zip(
        lines.line_numbers, lines.quads, lines.scores, readings, strict=True
    ):
        if reading.text and (number not in best or reading.score > best[number].text_score):
            best[number] = TextLine(
                quad=quad, text=reading.text, box_score=float(score), text_score=reading.score
            )
    return list(best.values())  # in reading order, since the numbers ascend


def cut_lines(image: Image, boxes: Quads, scores: Scores) -> DetectedLines:
    """Cut boxes (K, 4, 2) with scores (K,) out of an RGB image, in reading order."""
    lines = ordered_lines(boxes, scores)
    return replace(lines, crops=tuple(crop_quad(image, quad) for quad in lines.quads))


def ordered_lines(boxes: Quads, scores: Scores) -> DetectedLines:
    """Return boxes (K, 4, 2) with scores (K,) in reading order, without crops."""
    order = reading_order(boxes)
    # One box becomes one to three orientations, which keep the number of their line.
    ways = [(line, quad) for line, box in enumerate(order) for quad in ways_to_read(boxes[box])]
    numbers = tuple(line for line, _ in ways)
    return DetectedLines(
        quads=np.array([quad for _, quad in ways], np.float32).reshape(-1, 4, 2),
        scores=scores[order[list(numbers)]],
        crops=(),
        line_numbers=numbers,
    )
