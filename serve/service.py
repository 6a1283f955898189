"""The service without HTTP: its engines, its phase, and how it reads the images of a request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ..engines.bundle import Bundle
from ..engines.engine import Engine
from ..engines.tuned import choice_for
from ..pipeline.reader import OcrReader
from ..pipeline.sample_page import page_of_text
from .admission import Ticket
from .bodies import BodyReader
from .measures import Measures
from .page_pool import PageOutcome, PagePool
from .problems import ServiceError
from .settings import ServeSettings

_log = logging.getLogger("ocr_trt.serve")

Phase = Literal["starting", "ready", "stopping"]


@dataclass(frozen=True, kw_only=True)
class Bundles:
    """The bundles that the service reads with."""

    detector: Bundle | None
    """None: each image is one line of text."""
    recognizer: Bundle
    classifier: Bundle | None = None
    """Finds lines that are turned."""


class Service:
    """Opens the engines, reads images, and closes the engines. For the event loop's thread only."""

    def __init__(self, bundles: Bundles, settings: ServeSettings) -> None:
        self.bundles, self.settings, self.measures = bundles, settings, Measures()
        self.bodies = BodyReader(settings.limits, settings.times)
        self.phase: Phase = "starting"
        self._pool: PagePool | None = None
        self._engines = ExitStack()
        self.measures.add_gauge(
            "ocr_trt_body_bytes", "Bytes of requests' bodies in memory.", lambda: self.bodies.held
        )
        for name, text, value in (
            ("queue_depth", "Images that wait to be read.", "waiting"),
            ("queue_limit", "Images that may wait; further ones get 503.", "limit"),
            ("images_in_flight", "Images that are being read.", "in_flight"),
            ("capacity_images_per_second", "While all workers are busy; 0: unknown.", "capacity"),
        ):
            self.measures.add_gauge(f"ocr_trt_{name}", text, partial(self._admission, value))

    def _admission(self, name: str) -> float:
        return 0.0 if self._pool is None else float(getattr(self._pool.admission, name))

    @property
    def workers(self) -> int:
        """How many images are read at once; 0 before the engines are open."""
        return 0 if self._pool is None else self._pool.workers

    @property
    def capacity(self) -> float:
        """Images per second while all workers are busy; 0 before it is measured."""
        return self._admission("capacity")

    async def start(self) -> None:
        """Open the engines and read a page of text with all workers.

        Raises:
            OcrTrtError: a bundle cannot be opened, or its engine fails.
        """
        reader = await asyncio.to_thread(self._open)
        self._pool = pool = PagePool(reader, self.settings, self.measures)
        await self._warm_up(pool)
        pool.begin_counting()
        if self.phase == "starting":
            self.phase = "ready"

    def _open(self) -> OcrReader:
        bundles = self.bundles
        detector, classifier = (
            None if bundle is None else self._opened(bundle)
            for bundle in (bundles.detector, bundles.classifier)
        )
        recognizer = self._opened(bundles.recognizer)
        return OcrReader(detector, recognizer, self.settings.read, classifier=classifier)

    def _opened(self, bundle: Bundle) -> Engine:
        settings, choice = self.settings, choice_for(bundle, "throughput")
        # More streams than images in progress would be idle.
        streams = min(choice.streams, settings.workers or choice.streams)
        threads = settings.threads or choice.threads
        engine = Engine.from_bundle(bundle, streams=streams, threads=threads)
        self._engines.callback(engine.close)
        for size in engine.sizes:  # so that a wrong plan fails here
            engine.runner(size)
        return engine

    async def _warm_up(self, pool: PagePool) -> None:
        """Run all stages, and measure the capacity."""
        image = page_of_text(self.settings.limits.pixels)
        number = 3 * pool.workers
        with pool.admission.ticket(number) as ticket:
            pages = await asyncio.gather(*(pool.read(ticket, image) for _ in range(number)))
        for (page,) in pages:
            if page.error is not None:
                raise page.error

    async def read(
        self, image: bytes, *, page: int | None = None, draws: bool = False
    ) -> list[PageOutcome]:
        """Read an image or document within the deadline.

        Raises:
            ServiceError: it cannot be read, or the service is overloaded, starting or stopping.
        """
        pool = self._ready_pool()
        with pool.admission.ticket() as ticket:
            return await pool.read(ticket, image, page=page, draws=draws)

    async def preview(self, image: bytes, page: int) -> bytes:
        """Return a page of an image or document as PNG.

        Raises:
            ServiceError: it cannot be decoded, or the service is overloaded, starting or stopping.
        """
        pool = self._ready_pool()
        with pool.admission.ticket() as ticket:
            return await pool.preview(ticket, image, page)

    async def read_batch(
        self, images: Sequence[bytes | ServiceError]
    ) -> list[list[PageOutcome] | ServiceError]:
        """Read several images; an error takes the place of an image that cannot be read.

        Raises:
            ServiceError: the service is overloaded, starting or stopping.
        """
        pool = self._ready_pool()
        number = sum(isinstance(image, bytes) for image in images)
        with pool.admission.ticket(number) as ticket:
            tasks = [asyncio.ensure_future(_read_one(pool, ticket, image)) for image in images]
            try:
                return await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()

    def _ready_pool(self) -> PagePool:
        if self._pool is None or self.phase == "starting":
            raise ServiceError("starting", "the engines are still being loaded", retry_after=1)
        return self._pool

    async def stop(self) -> None:
        """Wait for the worker threads, and close the engines."""
        self.phase = "stopping"
        if self._pool is not None:
            await asyncio.to_thread(self._pool.close)
        await asyncio.to_thread(self._engines.close)


async def _read_one(
    pool: PagePool, ticket: Ticket, image: bytes | ServiceError
) -> list[PageOutcome] | ServiceError:
    if isinstance(image, ServiceError):
        return image
    try:
        return await pool.read(ticket, image)
    except ServiceError as error:
        return error
    except Exception as error:  # a bug: the other images of the batch have their results
        _log.error("an image of a batch failed", exc_info=error)
        return ServiceError("internal", "an error in the service; its log has the details")
