"""Read many images: batches of the recognizer are filled with lines of several images."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ..common.input_size import InputSize
from ..common.pool import Pool
from ..engines.engine import Engine
from ..ocr.types import Image
from ..spec import RecognizerSpec
from .line_parts import PartResult, Parts
from .stages import read_batch
from .text_lines import DetectedLines, TextLine, text_lines
from .workers import in_order, with_error

_AHEAD = 2
"""Images per reader whose lines may wait until a batch is full."""

Batch: TypeAlias = "Future[list[PartResult]]"


class LineReader(Protocol):
    """The part of ``OcrReader`` that this module uses."""

    recognizer: Engine
    recognizer_spec: RecognizerSpec

    def find(self, image: Image) -> DetectedLines:
        """Find the lines of one RGB image (H, W, 3) uint8, and cut them out."""


@dataclass(kw_only=True)
class _Page:
    """An image whose lines are being read.

    ``parts``: the parts of its lines, and ``images`` of them. ``places``: by part, its batch and
    its index in it.
    """

    detected: DetectedLines
    parts: Parts
    images: list[Image]
    places: dict[int, tuple[Batch, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, detected: DetectedLines, spec: RecognizerSpec) -> _Page:
        """Cut the lines that are too wide for the widest input."""
        parts = Parts.of_sizes([crop.shape[:2] for crop in detected.crops], spec)
        return cls(detected=detected, parts=parts, images=parts.cut(detected.crops, spec))

    def lines(self, spec: RecognizerSpec) -> list[TextLine]:
        """Wait for the lines; raises the exception of a batch that failed."""
        places = [self.places[index] for index in range(len(self.parts))]
        results = [batch.result()[place] for batch, place in places]
        return text_lines(self.detected, self.parts.readings(results, spec))


class _Batches:
    """Collects parts of the lines of several images by input size until a batch is full.

    Only the order of the images determines the batches, so results do not depend on timing.
    """

    def __init__(self, readers: Sequence[LineReader], threads: ThreadPoolExecutor) -> None:
        self._threads, self._idle = threads, Pool(readers)
        self.spec = readers[0].recognizer_spec
        self._waiting: dict[InputSize, list[tuple[_Page, int]]] = defaultdict(list)

    def add(self, page: _Page) -> None:
        """Add the parts of a page's lines to batches, and start reading those that are full."""
        for index, size in enumerate(page.parts.sizes):
            self._waiting[size].append((page, index))
            if len(self._waiting[size]) == self.spec.input.max_batch:
                self._begin(size)

    def finish(self, page: _Page) -> None:
        """Start reading the batches that contain waiting parts of ``page``, full or not."""
        for size, members in list(self._waiting.items()):
            if any(member is page for member, _ in members):
                self._begin(size)

    def _begin(self, size: InputSize) -> None:
        members = self._waiting.pop(size)
        images = [page.images[index] for page, index in members]
        is_whole = [page.parts.is_whole[index] for page, index in members]
        # Batches may finish in any order: each part remembers its batch and its index in it.
        batch = self._threads.submit(self._read, size, images, is_whole)
        for place, (page, index) in enumerate(members):
            page.places[index] = (batch, place)

    def _read(self, size: InputSize, images: list[Image], is_whole: list[bool]) -> list[PartResult]:
        with self._idle.lend() as reader:
            return read_batch(reader.recognizer, images, is_whole, size)


def read_all(
    readers: Sequence[LineReader], images: Iterable[Image]
) -> Generator[list[TextLine], None, None]:
    """Read RGB images (H, W, 3) uint8 with equal readers; yield the lines of each, in order.

    Each reader finds text in one image while it reads one batch of lines. At most four images per
    reader are read ahead, so a slow consumer of the lines slows the readers down. An exception of
    an image, of its lines or of ``images`` is raised in its place and ends the iteration.
    """
    pages: deque[_Page | Exception] = deque()
    outcomes = in_order(_find, readers, with_error(images))
    with closing(outcomes), ThreadPoolExecutor(len(readers)) as threads:
        batches = _Batches(readers, threads)
        try:
            for outcome in outcomes:
                if isinstance(outcome, DetectedLines):
                    page = _Page.of(outcome, batches.spec)
                    batches.add(page)
                    pages.append(page)
                else:
                    pages.append(outcome)
                # The oldest page is finished only now, so that later pages could fill its batches.
                if len(pages) > _AHEAD * len(readers):
                    yield _finished(pages.popleft(), batches)
            while pages:
                yield _finished(pages.popleft(), batches)
        finally:
            # If the consumer stops early, batches that were not started are dropped.
            threads.shutdown(wait=False, cancel_futures=True)


def _finished(page: _Page | Exception, batches: _Batches) -> list[TextLine]:
    if isinstance(page, Exception):
        raise page
    batches.finish(page)
    return page.lines(batches.spec)


def _find(reader: LineReader, image: Image | Exception) -> DetectedLines | Exception:
    if isinstance(image, Exception):
        return image
    try:
        return reader.find(image)
    except Exception as error:  # of any type; read_all raises it in place of the lines
        return error
