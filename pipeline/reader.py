"""Detector and recognizer together: a picture in, lines of text with their places out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ocr.crop import crop_quad
from ..ocr.reading_order import reading_order
from ..ocr.types import Image, Quads
from .engine import Engine
from .stages import detect, detector_spec, recognize, recognizer_spec


@dataclass(frozen=True, kw_only=True)
class TextLine:
    """One piece of text. ``quad``: (4, 2) float32 (x, y) in the picture's pixels, clockwise from
    the text's top left corner. Scores are in 0..1.
    """

    quad: Quads
    text: str
    box_score: float
    text_score: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "quad": [[round(float(x), 1), round(float(y), 1)] for x, y in self.quad],
            "text": self.text,
            "box_score": round(self.box_score, 4),
            "text_score": round(self.text_score, 4),
        }


class OcrReader:
    """Reads pictures with a detector and a recognizer engine.

    Raises:
        SpecError: an engine has the wrong role.
    """

    def __init__(self, detector: Engine, recognizer: Engine) -> None:
        detector_spec(detector)
        recognizer_spec(recognizer)
        self._detector, self._recognizer = detector, recognizer

    def read(self, picture: Image) -> list[TextLine]:
        """Read one RGB picture (H, W, 3) uint8; lines come in reading order.

        Boxes in which the recognizer reads nothing are left out.
        """
        quads, scores = detect(self._detector, picture)
        return read_boxes(self._recognizer, picture, quads, scores)


def read_boxes(
    recognizer: Engine, picture: Image, quads: Quads, scores: npt.NDArray[np.float32]
) -> list[TextLine]:
    """Read the boxes (K, 4, 2) with scores (K,) that a detector found in one RGB picture.

    Lines come in reading order; boxes in which nothing is read are left out.
    """
    order = reading_order(quads)
    readings = recognize(recognizer, [crop_quad(picture, quads[i]) for i in order])
    return [
        TextLine(
            quad=quads[index],
            text=reading.text,
            box_score=float(scores[index]),
            text_score=reading.score,
        )
        for index, reading in zip(order, readings, strict=True)
        if reading.text
    ]
