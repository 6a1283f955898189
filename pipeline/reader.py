"""Detector and recognizer together: an image in, lines of text with their places out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..engines.engine import Engine
from ..ocr.crop import crop_quad, ways_to_read
from ..ocr.ctc import Reading
from ..ocr.reading_order import reading_order
from ..ocr.types import Image, Quads
from .clock import Clock, untimed
from .scales import MOST_SHRINK, detect_at_scales
from .stages import detect, detector_spec, recognize, recognizer_spec

Tiles = Literal["auto", "on", "off"]


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """How images are read.

    ``tiles``: an image that the detector's input would shrink to less than half is also searched
    at full size, in tiles (``auto``); so is every one that it would shrink at all (``on``); none is
    (``off``). See :func:`ocr_trt.pipeline.scales.detect_at_scales`.
    """

    tiles: Tiles = "auto"


@dataclass(frozen=True, kw_only=True)
class TextLine:
    """One piece of text. ``quad``: (4, 2) float32 (x, y) in the image's pixels, clockwise from
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


@dataclass(frozen=True, kw_only=True)
class FoundLines:
    """Text that was found and not yet read, in reading order.

    ``quads`` (K, 4, 2), ``scores`` (K,), and K straightened ``crops`` (h, w, 3) RGB. Of the same
    ``lines`` number (K,), ascending, are the ways in which one box may be read.
    """

    quads: Quads
    scores: npt.NDArray[np.float32]
    crops: tuple[Image, ...]
    lines: tuple[int, ...]


def text_lines(found: FoundLines, readings: Sequence[Reading]) -> list[TextLine]:
    """Put boxes and what was read in them together; boxes without text are left out.

    Of several ways to read a box the one with the best text score is taken.
    """
    best: dict[int, TextLine] = {}
    for number, quad, score, reading in zip(
        found.lines, found.quads, found.scores, readings, strict=True
    ):
        if reading.text and (number not in best or reading.score > best[number].text_score):
            best[number] = TextLine(
                quad=quad, text=reading.text, box_score=float(score), text_score=reading.score
            )
    return list(best.values())


def cut_lines(image: Image, boxes: Quads, scores: npt.NDArray[np.float32]) -> FoundLines:
    """Cut boxes (K, 4, 2) with scores (K,) out of an RGB image, in reading order."""
    found = ordered_lines(boxes, scores)
    return replace(found, crops=tuple(crop_quad(image, quad) for quad in found.quads))


def ordered_lines(boxes: Quads, scores: npt.NDArray[np.float32]) -> FoundLines:
    """Return boxes (K, 4, 2) with scores (K,) in reading order, not cut out yet."""
    order = reading_order(boxes)
    ways = [(line, quad) for line, box in enumerate(order) for quad in ways_to_read(boxes[box])]
    lines = tuple(line for line, _ in ways)
    return FoundLines(
        quads=np.array([quad for _, quad in ways], np.float32).reshape(-1, 4, 2),
        scores=scores[order[list(lines)]],
        crops=(),
        lines=lines,
    )


def read_boxes(
    recognizer: Engine, image: Image, boxes: Quads, scores: npt.NDArray[np.float32]
) -> list[TextLine]:
    """Read boxes (K, 4, 2) with scores (K,) that a detector found in one RGB image.

    Lines come in reading order; boxes in which nothing is read are left out.
    """
    found = cut_lines(image, boxes, scores)
    return text_lines(found, recognize(recognizer, found.crops))


class OcrReader:
    """Reads images with a detector and a recognizer engine. ``clock`` is told of each stage.

    Raises:
        SpecError: an engine has the wrong role.
    """

    def __init__(
        self,
        detector: Engine,
        recognizer: Engine,
        settings: ReadSettings | None = None,
        clock: Clock = untimed,
    ) -> None:
        detector_spec(detector)
        self.recognizer_spec = recognizer_spec(recognizer)
        self.detector, self.recognizer = detector, recognizer
        self.settings, self.clock = settings or ReadSettings(), clock

    @property
    def workers(self) -> int:
        """How many threads should read with it at once, each one image.

        Two more than batches that its engines take at once: these have work while a thread decodes,
        crops or deals with text. One, if they take one batch at a time.
        """
        streams = max(self.detector.runner().streams, self.recognizer.runner().streams)
        return streams + 2 if streams > 1 else 1

    def read(self, image: Image) -> list[TextLine]:
        """Read one RGB image (H, W, 3) uint8; lines come in reading order.

        Boxes in which the recognizer reads nothing are left out.
        """
        found = self.find(image)
        return text_lines(found, recognize(self.recognizer, found.crops, self.clock))

    def read_all(self, images: Iterable[Image]) -> Iterator[list[TextLine]]:
        """Read many, in batches of lines filled across them; see :func:`.many.read_all`."""
        from .shared_batches import read_all

        return read_all([self], images)

    def find(self, image: Image) -> FoundLines:
        """Find the lines of one RGB image (H, W, 3) uint8, and cut them out."""
        boxes, scores = self._detect(image)
        with self.clock("crop"):
            return cut_lines(image, boxes, scores)

    def _detect(self, image: Image) -> tuple[Quads, npt.NDArray[np.float32]]:
        if self.settings.tiles == "off":
            return detect(self.detector, image, self.clock)
        shrink = 1.0 if self.settings.tiles == "on" else MOST_SHRINK
        return detect_at_scales(self.detector, image, most_shrink=shrink, clock=self.clock)
