"""A reader of images in any form, for threads and for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from threading import Event, Lock
from typing import Any, Literal, TypeAlias, overload
from weakref import finalize

from ..common.open_state import OpenState
from ..engines.engine import Engine
from ..errors import ClosedError, OcrTrtError
from ..ocr.image_source import Channels, ImageSource, opened
from .image_memory import image_budget, memory_of
from .pages import Page, check_several, pages_of
from .parallel_lines import recognize_in_parallel
from .read_image import read_image
from .read_result import ReadResult
from .reader import OcrReader, ReadSettings
from .stages import recognize
from .workers import in_order

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with the number of images done, and of all images if that is known."""


class Reader:
    """Reads images in any form with a detector and a recognizer.

    :func:`open_reader` opens one from bundles; this constructor accepts engines that are open, and
    :meth:`close` closes them. A reader is a context manager, also for ``async with``.

    Any number of threads and asyncio tasks may use a reader at the same time, and get the results
    that one thread would get. A reader from :func:`open_reader` can be pickled: unpickling it, for
    example in another process, opens the bundles again.

    An image may be a path, the content of a file as bytes, a file object in binary mode, an
    :class:`ImageFile`, a Pillow image, or a NumPy array uint8: (H, W) gray, (H, W, 3), or (H, W, 4)
    with alpha. Do not change an array while it is read.

    Args:
        detector: a detector engine.
        recognizer: a recognizer engine.
        settings: how images are read.
        classifier: a classifier engine, which finds lines that are turned.
        parallel_lines: read the lines of an image on all streams of the recognizer at once.
        reopen: what unpickling calls to open an equal reader; None: pickling raises TypeError.

    Raises (by all methods that read):
        InputFileError: a file cannot be read or decoded, or the image is too small or too large.
        UserError: an array has another type or shape; the message states how to convert it.
        TypeError: the image is of another type.
        ClosedError: the reader is closed.
    """

    def __init__(
        self,
        detector: Engine | None,
        recognizer: Engine,
        settings: ReadSettings | None = None,
        *,
        classifier: Engine | None = None,
        parallel_lines: bool = False,
        reopen: Callable[[], Reader] | None = None,
    ) -> None:
        self._settings, self._reopen = settings or ReadSettings(), reopen
        lines = recognize_in_parallel if parallel_lines else recognize
        self._reader = OcrReader(
            detector, recognizer, self._settings, recognize=lines, classifier=classifier
        )
        self._budget = image_budget()
        self._open = OpenState("the reader", "open another one with open_reader")
        finalize(self, self._open.exit)  # if the interpreter ends before `close`
        self._pool: ThreadPoolExecutor | None = None  # created by the first call of ``aread``
        self._starting = Lock()

    @property
    def workers(self) -> int:
        """How many images are read at the same time by :meth:`read_all` and :meth:`aread`."""
        return self._reader.workers

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._open.is_closed

    def read(self, image: ImageSource, *, channels: Channels = "rgb", page: int = 1) -> ReadResult:
        """Read one image, or one page of a file.

        >>> import numpy as np
        >>> import ocr_trt
        >>> from PIL import Image
        >>> reader = ocr_trt.open_reader("bundles/detector", "bundles/recognizer")
        >>> with open("receipt.png", "rb") as file:
        ...     from_file = reader.read(file)
        >>> array = np.asarray(Image.open("receipt.png"))  # RGB
        >>> reader.read(array) == from_file
        True
        >>> reader.read(array[:, :, ::-1], channels="bgr") == from_file  # as OpenCV loads it
        True
        >>> reader.read("scan.tiff", page=3).text
        'TOTAL 12.50'
        >>> reader.read(array / 255)
        Traceback (most recent call last):
        ...
        ocr_trt.errors.UserError: the image is an array of float64, expected uint8; ...
        >>> reader.close()

        Args:
            image: the image in any form.
            channels: the order of the channels of an array.
            page: which page of a file with several, counted from 1; :meth:`read_all` reads all.
        """
        return self._read(image, channels, page)

    def _read(
        self,
        image: ImageSource,
        channels: Channels,
        page: int,
        watch: Callable[[], None] | None = None,
    ) -> ReadResult:
        with self._open.in_use():
            source = opened(image, self._settings.dpi)
            with self._budget.lend(memory_of(source, page)):
                return read_image(self._reader, source, channels, page, watch)[1]

    @overload
    def read_all(
        self,
        images: Iterable[ImageSource],
        *,
        channels: Channels = "rgb",
        progress: Progress | None = None,
        return_exceptions: Literal[False] = False,
    ) -> Iterator[ReadResult]: ...

    @overload
    def read_all(
        self,
        images: Iterable[ImageSource],
        *,
        channels: Channels = "rgb",
        progress: Progress | None = None,
        return_exceptions: bool,
    ) -> Iterator[ReadResult | Exception]: ...

    def read_all(
        self,
        images: Iterable[ImageSource],
        *,
        channels: Channels = "rgb",
        progress: Progress | None = None,
        return_exceptions: bool = False,
    ) -> Iterator[ReadResult] | Iterator[ReadResult | Exception]:
        """Read many images, several at once; yield one result per page, in order.

        Only two pages per worker are read ahead of the results that were used. So ``images`` may be
        a generator, and may yield more images than fit into memory.

        >>> import ocr_trt
        >>> bundles = ("bundles/detector", "bundles/recognizer")
        >>> with ocr_trt.open_reader(*bundles, mode="throughput") as reader:
        ...     images = ["receipt.png", "scan.tiff", "missing.png"]
        ...     for result in reader.read_all(images, return_exceptions=True):
        ...         if isinstance(result, Exception):
        ...             print("error:", result)
        ...         else:
        ...             print(result.file, result.page, result.text.splitlines())
        receipt.png 1 ['TOTAL 12.50', 'THANK YOU']
        scan.tiff 1 ['TOTAL 12.50', 'THANK YOU']
        scan.tiff 2 ['THANK YOU']
        scan.tiff 3 ['TOTAL 12.50']
        error: missing.png: no such file

        Progress:

        >>> import ocr_trt
        >>> with ocr_trt.open_reader("bundles/detector", "bundles/recognizer") as reader:
        ...     images = ["receipt.png", "scan.tiff"]
        ...     for result in reader.read_all(images, progress=print):
        ...         pass
        1 2
        2 2

        Args:
            images: the images; not a folder.
            channels: the order of the channels of arrays.
            progress: called after each image with the number of images done, and with the number
                of all images, or None if ``images`` has no length.
            return_exceptions: yield the error of an image or page in place of its result, and
                continue.
        """
        check_several(images)
        self._open.check()
        total = len(images) if isinstance(images, Sized) else None

        def one(_: int, page: Page | Exception) -> tuple[ReadResult | Exception, bool]:
            if isinstance(page, Exception):  # raised by `images`
                raise page
            try:
                if page.error is not None:
                    raise page.error
                result = self.read(page.source, channels=channels, page=page.page)
            except (OcrTrtError, TypeError) as error:
                if not return_exceptions or isinstance(error, ClosedError):
                    raise
                return error, page.is_last
            return result, page.is_last

        def results() -> Iterator[ReadResult | Exception]:
            done = 0
            outcomes = in_order(one, range(self.workers), pages_of(images, self._settings.dpi))
            with closing(outcomes):
                for result, is_last in outcomes:
                    done += is_last
                    if is_last and progress is not None:
                        progress(done, total)
                    yield result

        return results()

    async def aread(
        self, image: ImageSource, *, channels: Channels = "rgb", page: int = 1
    ) -> ReadResult:
        """Read one image as :meth:`read` does, without blocking asyncio's event loop.

        As many images as there are :attr:`workers` are read at once, in threads of the reader; the
        others wait in the order of the calls. If the task is cancelled, a waiting image is not
        read, and a read that has begun ends before its next stage.

        >>> import asyncio
        >>> import ocr_trt
        >>> async def main():
        ...     async with ocr_trt.open_reader("bundles/detector", "bundles/recognizer") as reader:
        ...         images = ["receipt.png", "images/1.png", "images/2.png"]
        ...         results = await asyncio.gather(*map(reader.aread, images))
        ...         return [len(result.lines) for result in results]
        >>> asyncio.run(main())
        [2, 2, 1]
        """
        is_cancelled = Event()

        def watch() -> None:
            if is_cancelled.is_set():
                raise CancelledError

        def work() -> ReadResult:
            return self._read(image, channels, page, watch)

        try:
            return await asyncio.wrap_future(self._submit(work))
        finally:
            is_cancelled.set()

    def _submit(self, work: Callable[[], ReadResult]) -> Future[ReadResult]:
        with self._open.in_use(), self._starting:  # so that the pool is not shut down in between
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="ocr-trt")
            return self._pool.submit(work)

    def close(self) -> None:
        """Wait for reads that have begun, and free the memory of the engines.

        Reads that wait, and later ones, raise ClosedError. A second call does nothing. If the
        thread itself is reading, as in a signal handler, that read frees the memory when it ends.
        """
        self._open.close(self._release)

    def _release(self) -> None:
        if self._pool is not None:
            # Reads that wait find the reader closed. One of its threads may be closing the reader.
            self._pool.shutdown(wait=False)
        for engine in self._reader.engines:
            engine.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Reader:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)  # the event loop continues while reads end

    def __repr__(self) -> str:
        labels = (repr(engine.label) for engine in self._reader.engines)
        return f"<{'closed ' * self.is_closed}Reader of {', '.join(labels)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reopen is None:
            raise TypeError("only a reader from open_reader can be pickled: it is opened again")
        self._open.check()
        return self._reopen, ()
