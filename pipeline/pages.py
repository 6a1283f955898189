"""The pages of many images, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..errors import OcrTrtError
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
