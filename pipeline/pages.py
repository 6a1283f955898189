"""The pages of many images, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image as PilImage

from ..errors import OcrTrtError, UserError
from ..ocr.image import ImageFile
from ..ocr.image_source import ImageSource, opened
from ..ocr.images.pdf import DEFAULT_DPI
from .workers import with_error


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of an image, or why the image has none.

    Attributes:
        source: the image, opened if it is a file.
        page: the number of the page, counted from 1.
        is_last: whether it is the last page of its image.
        error: why the image cannot be opened.
    """

    source: ImageSource
    page: int = 1
    is_last: bool = True
    error: Exception | None = None


def pages_of(images: Iterable[ImageSource], dpi: int = DEFAULT_DPI) -> Iterator[Page | Exception]:
    """Yield the pages of images; files are opened when their turn comes.

    An exception of the iterable itself is the last item. ``dpi``: the resolution of PDF documents.
    """
    for image in with_error(images):
        if isinstance(image, Exception):
            yield image
            return
        try:
            source = opened(image, dpi)
        except (OcrTrtError, TypeError) as error:
            yield Page(source=image, error=error)
            continue
        count = source.pages if isinstance(source, ImageFile) else 1
        for page in range(1, count + 1):
            yield Page(source=source, page=page, is_last=page == count)


def check_several(images: object) -> None:
    """Refuse a single image, whose bytes, rows or lines would be taken for images.

    Raises:
        UserError: it is one.
        TypeError: it is not iterable.
    """
    one = (str, os.PathLike, bytes, bytearray, memoryview, ImageFile, PilImage.Image)
    is_array = isinstance(images, np.ndarray) and images.ndim < 4
    if isinstance(images, one) or is_array or hasattr(images, "read"):
        raise UserError("read_all expects several images; for a single one, use read")
    if not isinstance(images, Iterable):
        raise TypeError(f"read_all expects a list or generator of images, not {images!r:.80}")
