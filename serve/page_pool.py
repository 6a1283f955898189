"""Read the images of requests in worker threads; all share the engines and recognizer batches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from threading import Event
from typing import Any, TypeVar

import cv2

from ..errors import ImageTooLargeError, OcrTrtError, UserError
from ..ocr.image import ImageFile, open_image
from ..ocr.images.sniff import HEAD, is_heif, is_image, is_pdf
from ..ocr.types import Image
from ..pipeline.draw import draw_lines
from ..pipeline.dynamic_batches import DynamicBatches
from ..pipeline.image_memory import image_budget, memory_of
from ..pipeline.read_image import read_image
from ..pipeline.read_result import ReadResult
from ..pipeline.reader import OcrReader
from .admission import Admission, Ticket
from .measures import Measures
from .problems import ServiceError, service_error
from .settings import ServeSettings

_log = logging.getLogger("ocr_trt.serve")

_Result = TypeVar("_Result")
_READERS = ((is_pdf, "pypdfium2"), (is_heif, "pi_heif"))
"""Formats that a library reads which may be missing."""
_PREVIEW_SIDE = 2000
"""The longest side of a preview in pixels: enough to read a page of text on a screen."""


@dataclass(frozen=True, kw_only=True)
class PageOutcome:
    """One page of an image: its text and its drawing (PNG) if requested, or why it has none."""

    page: int
    result: ReadResult | None = None
    drawing: bytes | None = None
    error: OcrTrtError | None = None


class PagePool:
    """Reads images for the event loop in threads. Close it before the engines.

    Args:
        reader: the engines and how to read.
        settings: limits and times.
        measures: counts pages and batches.
    """

    def __init__(self, reader: OcrReader, settings: ServeSettings, measures: Measures) -> None:
        self._settings, self._measures = settings, measures
        self._is_counting = False
        self.workers = settings.workers or reader.workers
        self._batches = DynamicBatches(
            reader.recognizer, settings.times.batch_wait, self._count_batch
        )
        self._reader = OcrReader(
            reader.detector,
            reader.recognizer,
            reader.settings,
            recognize=self._batches.recognize,
            classifier=reader.classifier,
        )
        self._budget = image_budget()
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="pages")
        # First in, first out: images are read in the order of their requests.
        self._places = asyncio.Semaphore(self.workers)
        self.admission = Admission(self.workers, settings.times.max_wait)

    def begin_counting(self) -> None:
        """Count pages and batches from now on: those of clients, but not those of the warm-up."""
        self._is_counting = True

    def _count_batch(self, lines: int) -> None:
        if self._is_counting:
            self._measures.count_batch(lines)

    async def read(
        self, ticket: Ticket, data: bytes, *, page: int | None = None, draws: bool = False
    ) -> list[PageOutcome]:
        """Read an image, or the pages of a document.

        If the task is cancelled, pages that wait are not read, and those in progress end before
        their next stage.

        Args:
            ticket: of ``admission``, with this image.
            data: the content of the file.
            page: the only page to read, counted from 1; None: all.
            draws: also draw boxes and texts.

        Raises:
            ServiceError: the image cannot be opened, or exceeds a limit.
        """

        def open_or_read(is_cancelled: Event) -> ImageFile | PageOutcome:
            file = self._opened(data, page)
            if file.pages > 1 and page is None:
                return file
            return self._read_page(file, page or 1, draws, is_cancelled)

        first = await self._in_thread(ticket, open_or_read)
        if isinstance(first, PageOutcome):
            return [first]
        ticket.add(first.pages)
        return await self._all_pages(ticket, first)

    async def preview(self, ticket: Ticket, data: bytes, page: int) -> bytes:
        """Return a page of an image or document as PNG, without reading its text.

        Args:
            ticket: of ``admission``, with this image.
            data: the content of the file.
            page: the page, counted from 1.

        Raises:
            ServiceError: the page cannot be decoded, or exceeds a limit.
        """

        def decode(is_cancelled: Event) -> bytes:
            file = self._opened(data, page)
            try:
                self._check_pixels(file, page)
                with self._budget.lend(memory_of(file, page)):
                    pixels = file.read(page, watch=partial(_check_wanted, is_cancelled))
                    return _png(_at_most(pixels, _PREVIEW_SIDE))
            except OcrTrtError as error:
                raise service_error(error) from error

        return await self._in_thread(ticket, decode)

    async def _all_pages(self, ticket: Ticket, file: ImageFile) -> list[PageOutcome]:
        # As many pages at once as there are workers, so that a long document leaves places in the
        # queue to other requests.
        turns = asyncio.Semaphore(self.workers)

        async def one(page: int) -> PageOutcome:
            async with turns:
                return await self._in_thread(
                    ticket, lambda is_cancelled: self._read_page(file, page, False, is_cancelled)
                )

        tasks = [asyncio.ensure_future(one(page)) for page in range(1, file.pages + 1)]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _in_thread(self, ticket: Ticket, work: Callable[[Event], _Result]) -> _Result:
        """Run work in a worker thread, when one is idle.

        Raises:
            ServiceError: the pool is closed.
        """
        await self._places.acquire()
        loop, is_cancelled = asyncio.get_running_loop(), Event()
        try:
            future = self._threads.submit(work, is_cancelled)
        except RuntimeError:  # its threads have been shut down
            self._places.release()  # for the next one that waits
            raise ServiceError("stopping", "the service is shutting down") from None
        began = ticket.begin()
        # The place is free when the thread is, even if the task was cancelled long before.
        future.add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._finish, began, _is_read(done))
        )
        try:
            return await asyncio.wrap_future(future)
        finally:
            is_cancelled.set()

    def _finish(self, began: float, is_read: bool) -> None:
        self.admission.end(began, is_read=is_read)
        self._places.release()

    def _opened(self, data: bytes, page: int | None) -> ImageFile:
        if not is_image(data[:HEAD]):
            raise ServiceError(
                "unsupported_format",
                "the body is neither an image in a known format nor a PDF document; send a JPEG, "
                "PNG, WebP, TIFF, BMP, GIF or PDF file",
            )
        for is_format, library in _READERS:
            if is_format(data[:HEAD]) and find_spec(library) is None:
                raise ServiceError(
                    "unsupported_format",
                    f"this service cannot read this format, because the library {library} is not "
                    "installed; send the image as JPEG or PNG",
                )
        limit = self._settings.limits.pages
        try:
            file = open_image(data, dpi=self._settings.read.dpi)
        except OcrTrtError as error:
            raise service_error(error) from error
        if page is not None and page > file.pages:
            raise ServiceError(
                "invalid_parameter", f"there is no page {page}; the file has {file.pages}"
            )
        if page is None and file.pages > limit:
            raise ServiceError(
                "image_too_large",
                f"the document has {file.pages} pages, and {limit} are allowed; split it, or "
                "request one page with ?page=",
            )
        return file

    def _read_page(
        self, file: ImageFile, page: int, draws: bool, is_cancelled: Event
    ) -> PageOutcome:
        watch = partial(_check_wanted, is_cancelled)
        watch()
        try:
            self._check_pixels(file, page)
            with self._budget.lend(memory_of(file, page, draws=draws)):
                with self._batches.page():
                    pixels, result = read_image(self._reader, file, page=page, watch=watch)
                drawing = _png(draw_lines(pixels, result.lines)) if draws else None
        except OcrTrtError as error:
            if not isinstance(error, UserError):  # not the client's fault
                _log.error("an engine failed", exc_info=error)
            return PageOutcome(page=page, error=error)
        if self._is_counting:
            self._measures.count_page(result)
        return PageOutcome(page=page, result=result, drawing=drawing)

    def _check_pixels(self, file: ImageFile, page: int) -> None:
        header, limit = file.header(page), self._settings.limits.pixels
        if header.pixels > limit:
            raise ImageTooLargeError(
                f"{header.width}x{header.height} pixels are more than the {limit:,} allowed; scale "
                "the image down first"
            )

    def close(self) -> None:
        """Wait for pages that are being read, and end the threads.

        Images that wait, and later ones, raise ServiceError. A second call does nothing.
        """
        self._threads.shutdown()
        self._batches.close()


def _check_wanted(is_cancelled: Event) -> None:
    """Raise CancelledError if nobody waits for the result any more."""
    if is_cancelled.is_set():
        raise CancelledError


def _is_read(done: Future[Any]) -> bool:
    """Return whether the result of a thread is a page whose text was read."""
    if done.cancelled() or done.exception() is not None:
        return False
    outcome = done.result()
    return isinstance(outcome, PageOutcome) and outcome.result is not None


def _at_most(image: Image, side: int) -> Image:
    """Scale an image (H, W, 3) down if its longest side has more pixels than this."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _png(image: Image) -> bytes:
    """Encode an RGB image (H, W, 3)."""
    ok, data = cv2.imencode(".png", image[:, :, ::-1])  # OpenCV expects BGR
    assert ok
    return bytes(data)
