"""Read one image in any form, and measure the time of each stage."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from ..common.error_text import is_out_of_memory
from ..errors import OutOfMemoryError
from ..ocr.image import UNNAMED
from ..ocr.image_source import Channels, ImageSource, load_source, name_of, opened
from ..ocr.types import Image
from .clock import Clock, Stage, StageClock
from .read_result import ReadResult
from .reader import OcrReader

_log = logging.getLogger(__name__)


def read_image(
    reader: OcrReader,
    source: ImageSource,
    channels: Channels = "rgb",
    page: int = 1,
    watch: Callable[[], None] | None = None,
) -> tuple[Image, ReadResult]:
    """Load and read one image with a detector, a recognizer and perhaps a classifier.

    Args:
        reader: the engines and the settings.
        source: the image; see :func:`ocr_trt.ocr.image_source.load_source`.
        channels: the order of the channels of an array.
        page: which page of a file with several, counted from 1.
        watch: called before each stage, and before PDFium renders a page; an exception from it ends
            the read.

    Returns:
        The pixels (H, W, 3) uint8 RGB, and the result with the time of each stage.
    """
    own = StageClock()
    clock = own if watch is None else _watched(own, watch)
    name = name_of(source)
    with clock("load"):
        image = load_source(opened(source, reader.settings.dpi), channels, page, watch)
    try:
        found = reader.timed(clock).read_text(image.pixels)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"{name or UNNAMED}: not enough memory to read the image; read fewer images at once, "
            "or scale it down"
        ) from error
    height, width = image.pixels.shape[:2]
    result = ReadResult(
        file=name, page=page, pages=image.pages, width=width, height=height,
        lines=found.lines, search=found.search, warnings=found.warnings, seconds=own.seconds,
    )  # fmt: skip
    for warning in found.warnings:
        _log.warning("%s: %s", result.file, warning)
    for note in image.notes:
        _log.info("%s: %s", result.file, note)
    _log.debug(
        "read %s: %d lines in %.3f s", result.file, len(found.lines), sum(own.seconds.values())
    )
    return image.pixels, result


def _watched(clock: StageClock, watch: Callable[[], None]) -> Clock:
    def start(stage: Stage) -> AbstractContextManager[None]:
        watch()
        return clock(stage)

    return start
