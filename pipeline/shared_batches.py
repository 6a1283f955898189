"""Many images: found by some threads, their lines read in shared batches by others, in order."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol, TypeAlias

from ..engines.engine import Engine
from ..ocr.ctc import Reading
from ..ocr.recognizer import bucket_of
from ..ocr.types import Image
from ..spec import RecognizerSpec
from .stages import read_batch
from .text_lines import FoundLines, TextLine, text_lines
from .workers import in_order

_AHEAD = 2
"""Images per reader whose lines wait for a batch to be filled."""

Batch: TypeAlias = "Future[list[Reading]]"


class LineReader(Protocol):
    """What is needed of a reader."""

    recognizer: Engine
    recognizer_spec: RecognizerSpec

    def find(self, image: Image) -> FoundLines:
        """Find the lines of one RGB image (H, W, 3) uint8, and cut them out."""


@dataclass(kw_only=True)
class _Page:
    """An image under way. ``places``: for each line, its batch and its place in it."""

    found: FoundLines
    places: dict[int, tuple[Batch, int]] = field(default_factory=dict)

    def lines(self) -> list[TextLine]:
        """Wait for the lines; an exception of one of their batches comes here."""
        places = [self.places[index] for index in range(len(self.found.crops))]
        return text_lines(self.found, [batch.result()[place] for batch, place in places])


class _Batches:
    """Lines of several images, gathered by width until a batch is full.

    What is in a batch depends on the order of the images alone, never on time.
    """

    def __init__(self, readers: Sequence[LineReader], pool: ThreadPoolExecutor) -> None:
        self._pool, self._idle = pool, SimpleQueue[LineReader]()
        for reader in readers:
            self._idle.put(reader)
        self._spec = readers[0].recognizer_spec
        self._waiting: dict[int, list[tuple[_Page, int]]] = defaultdict(list)

    def add(self, page: _Page) -> None:
        """Put a page's lines into batches, and have those that are full read."""
        for index, crop in enumerate(page.found.crops):
            width = bucket_of(crop, self._spec)
            self._waiting[width].append((page, index))
            if len(self._waiting[width]) == self._spec.input.max_batch:
                self._begin(width)

    def finish(self, page: _Page) -> None:
        """Have the batches read in which lines of ``page`` still wait."""
        for width, members in list(self._waiting.items()):
            if any(member is page for member, _ in members):
                self._begin(width)

    def _begin(self, width: int) -> None:
        members = self._waiting.pop(width)
        crops = [page.found.crops[index] for page, index in members]
        batch = self._pool.submit(self._read, width, crops)
        for place, (page, index) in enumerate(members):
            page.places[index] = (batch, place)

    def _read(self, width: int, crops: list[Image]) -> list[Reading]:
        reader = self._idle.get()
        try:
            return read_batch(reader.recognizer, crops, width)
        finally:
            self._idle.put(reader)


def read_all(readers: Sequence[LineReader], images: Iterable[Image]) -> Iterator[list[TextLine]]:
    """Read RGB images (H, W, 3) uint8 with equal readers; yield each one's lines, in order.

    Each reader finds text in one image and reads one batch at a time, both at once. Images are
    taken four per reader ahead at most: whoever is slow with the lines holds the readers back.
    An exception of an image, of its lines or of ``images`` comes in its place, and is the end.
    """
    pages: deque[_Page | Exception] = deque()
    found = in_order(_find, readers, _with_error(images))
    with closing(found), ThreadPoolExecutor(len(readers)) as pool:
        batches = _Batches(readers, pool)
        try:
            for outcome in found:
                if isinstance(outcome, FoundLines):
                    page = _Page(found=outcome)
                    batches.add(page)
                    pages.append(page)
                else:
                    pages.append(outcome)
                if len(pages) > _AHEAD * len(readers):
                    yield _finished(pages.popleft(), batches)
            while pages:
                yield _finished(pages.popleft(), batches)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _finished(page: _Page | Exception, batches: _Batches) -> list[TextLine]:
    if isinstance(page, Exception):
        raise page
    batches.finish(page)
    return page.lines()


def _find(reader: LineReader, image: Image | Exception) -> FoundLines | Exception:
    if isinstance(image, Exception):
        return image
    try:
        return reader.find(image)
    except Exception as error:  # of any kind: it is raised where the image's lines would come
        return error


def _with_error(images: Iterable[Image]) -> Iterator[Image | Exception]:
    """Yield an exception of the iterable as its last item, so that it does not overtake others."""
    try:
        yield from images
    except Exception as error:  # raised by read_all, in its place
        yield error
