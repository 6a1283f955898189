"""Read images: a detector finds lines of text, a recognizer reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from numbers import Real
from typing import Literal

from ..engines.engine import Engine
from ..errors import UserError, unknown
from ..ocr.images.pdf import DEFAULT_DPI, HIGHEST_DPI, LOWEST_DPI
from ..ocr.types import Image, Outlines, Scores
from ..spec import ClassifierSpec, DetectorSpec, RecognizerSpec
from .clock import Clock, untimed
from .directions import with_directions
from .image_search import LARGE_SHRINK, shrink_warning
from .parallel_lines import recognize_in_parallel
from .scales import detect_at_scales
from .shared_batches import read_all
from .stages import Recognize, recognize, spec_of
from .text_lines import DetectedLines, FoundText, TextLine, cut_lines, text_lines, whole_line

Tiles = Literal["auto", "on", "off"]
_MAX_SHRINK: dict[Tiles, float] = {"auto": LARGE_SHRINK, "on": 1.0, "off": math.inf}


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """How images are read.

    Raises:
        UserError: a setting has a value that is not allowed.
    """

    tiles: Tiles = "auto"
    """Which images are also searched at full size, in tiles.

    ``auto``: those that the detector's input would shrink to less than half; ``on``: those that it
    would shrink at all; ``off``: none. See :func:`ocr_trt.pipeline.scales.detect_at_scales`.
    """
    min_box_score: float = 0.0
    """Boxes with a lower score, 0..1, are not read; ``boxes.box_threshold`` of the spec holds, too.
    """
    min_text_score: float = 0.0
    """Lines with a lower text score, 0..1, are dropped."""
    both_ways: bool = False
    """Also read each line turned by 180 degrees, and keep the reading with the better score. It
    doubles the work of the recognizer; a classifier finds the direction for less.
    """
    dpi: int = DEFAULT_DPI
    """The resolution at which the pages of PDF documents are rendered, in pixels per inch."""

    def __post_init__(self) -> None:
        if self.tiles not in _MAX_SHRINK:
            raise UserError(unknown("setting of tiles", str(self.tiles), _MAX_SHRINK))
        for name in ("min_box_score", "min_text_score"):
            score = getattr(self, name)
            if not isinstance(score, Real) or not 0 <= float(score) <= 1:
                raise UserError(f"{name} is {score!r}; expected a number from 0 to 1")
        if not isinstance(self.dpi, int) or not LOWEST_DPI <= self.dpi <= HIGHEST_DPI:
            raise UserError(f"dpi is {self.dpi!r}; expected {LOWEST_DPI} to {HIGHEST_DPI}")


def read_boxes(recognizer: Engine, image: Image, boxes: Outlines, scores: Scores) -> list[TextLine]:
    """Read boxes (K, P, 2) with scores (K,) that a detector found in one RGB image.

    Lines are in reading order; boxes without text are dropped.
    """
    lines = cut_lines(image, boxes, scores)
    return text_lines(lines, recognize(recognizer, lines.crops))


class OcrReader:
    """Reads images with a detector and a recognizer engine.

    Without a detector, each image is one line of text. A classifier finds lines that are turned.
    ``clock`` measures each stage. ``recognize`` reads the line crops;
    :class:`.dynamic_batches.DynamicBatches` replaces it.

    Raises:
        SpecError: an engine has the wrong role.
        UserError: the settings request to read both ways, which a classifier makes needless.
    """

    def __init__(
        self,
        detector: Engine | None,
        recognizer: Engine,
        settings: ReadSettings | None = None,
        clock: Clock = untimed,
        recognize: Recognize = recognize,
        classifier: Engine | None = None,
    ) -> None:
        if detector is not None:
            spec_of(detector, DetectorSpec)
        self.recognizer_spec = spec_of(recognizer, RecognizerSpec)
        self.detector, self.recognizer = detector, recognizer
        self.settings, self.clock = settings or ReadSettings(), clock
        self._recognize, self.classifier = recognize, classifier
        if classifier is not None:
            spec_of(classifier, ClassifierSpec)
            if self.settings.both_ways:
                raise UserError(
                    "a classifier and reading both ways exclude each other: the classifier finds "
                    "the direction of each line"
                )

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines that read an image."""
        used = (self.detector, self.recognizer, self.classifier)
        return tuple(engine for engine in used if engine is not None)

    def timed(self, clock: Clock) -> OcrReader:
        """Return an equal reader of the same engines that measures its stages with ``clock``."""
        return OcrReader(
            self.detector, self.recognizer, self.settings, clock, self._recognize, self.classifier
        )

    @property
    def workers(self) -> int:
        """How many threads should call :meth:`read` at the same time.

        Two more than the number of infer requests, so that the engines stay busy while a thread
        decodes an image, crops it, or decodes text. With one infer request, one. If the lines of
        one image use all streams of the recognizer, only those of the detector count.
        """
        is_parallel = self.detector is not None and self._recognize is recognize_in_parallel
        engines = self.engines[:1] if is_parallel else self.engines
        streams = max(engine.runner().streams for engine in engines)
        return streams + 2 if streams > 1 else 1

    def read(self, image: Image) -> list[TextLine]:
        """Read one RGB image (H, W, 3) uint8.

        Lines are in reading order; boxes without text are dropped.
        """
        return list(self.read_text(image).lines)

    def read_text(self, image: Image) -> FoundText:
        """Read one RGB image as :meth:`read` does; also return the search, and warnings."""
        found = self.find(image)
        readings = self._recognize(self.recognizer, found.crops, self.clock)
        lines, warning = tuple(self._kept(text_lines(found, readings))), ""
        if found.search is not None and self.detector is not None:
            spec = spec_of(self.detector, DetectorSpec)
            size = (image.shape[0], image.shape[1])
            warning = shrink_warning(found.search, size, found.quads, spec, is_empty=not lines)
        warnings = (warning,) if warning else ()
        return FoundText(lines=lines, search=found.search, warnings=warnings)

    def read_all(self, images: Iterable[Image]) -> Iterator[list[TextLine]]:
        """Read many images; batches are filled with lines of several images.

        See :func:`ocr_trt.pipeline.shared_batches.read_all`.
        """
        with closing(read_all([self], images)) as pages:
            for lines in pages:
                yield self._kept(lines)

    def _kept(self, lines: list[TextLine]) -> list[TextLine]:
        return [line for line in lines if line.text_score >= self.settings.min_text_score]

    def find(self, image: Image) -> DetectedLines:
        """Find the lines of one RGB image (H, W, 3) uint8, cut them out, and turn them."""
        lines = self._cut(image)
        if self.classifier is None:
            return lines
        return with_directions(self.classifier, lines, self.clock)

    def _cut(self, image: Image) -> DetectedLines:
        both_ways = self.settings.both_ways
        if self.detector is None:
            return whole_line(image, both_ways=both_ways)
        max_shrink = _MAX_SHRINK[self.settings.tiles]
        (boxes, scores), search = detect_at_scales(
            self.detector, image, max_shrink=max_shrink, clock=self.clock
        )
        kept = scores >= self.settings.min_box_score
        with self.clock("crop"):
            lines = cut_lines(image, boxes[kept], scores[kept], both_ways=both_ways)
        return replace(lines, search=search)
