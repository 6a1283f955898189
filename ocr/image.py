"""Read untrusted image files of one or several pages as upright 8-bit RGB."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PilImage

from ..errors import InputFileError, UserError
from .images.formats import Header, decode_frame, errors_of, frames_of, header_of
from .images.limits import check_size
from .images.pdf import (
    DEFAULT_DPI,
    HIGHEST_DPI,
    LOWEST_DPI,
    PDFIUM,
    pdf_page_size,
    pdf_pages,
    render_pdf_page,
)
from .images.pixels import rgb_from_pil
from .images.sniff import HEAD, is_pdf
from .images.source import bytes_or_path, opened
from .types import Image

UNNAMED = "image"
"""Name of an image in messages if it does not come from a file with a name."""


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """An image file that was opened: its pages are known, and none is decoded yet.

    Several threads may read pages at the same time.
    """

    name: str
    """The name in error messages."""
    data: Path | bytes
    """The path, or the content of a file that is in memory."""
    frames: tuple[int, ...]
    """The number of each page's image in the file, counted from 0."""
    notes: tuple[str, ...]
    """What of the file is not read, such as all but the first image of an animation."""
    dpi: int | None = None
    """The resolution at which the pages of a PDF document are rendered; None for other files."""

    @property
    def pages(self) -> int:
        """The number of pages, at least 1."""
        return len(self.frames)

    def read(self, page: int = 1, *, watch: Callable[[], None] | None = None) -> Image:
        """Decode a page, counted from 1.

        Args:
            page: which one.
            watch: called before a page of a PDF document is rendered. Only one page is rendered at
                a time, so a page may wait for others; an exception from it ends the read.

        Returns:
            (H, W, 3) uint8 RGB, turned upright by its EXIF orientation, in sRGB if the file has a
            color profile. Transparent parts have a color that contrasts with the others.

        Raises:
            InputFileError: there is no such page, it is damaged, over 100 million pixels, or has a
                side under 4 pixels.
            OutOfMemoryError: there is not enough memory to decode it.
        """
        frame, name = self._frame(page)
        if self.dpi is None:
            return decode_frame(self.data, name, frame)
        with PDFIUM:  # the turn of this page
            if watch is not None:
                watch()
            with errors_of(name):
                return render_pdf_page(self.data, name, frame, self.dpi)

    def header(self, page: int = 1) -> Header:
        """Return the size of a page, counted from 1, and the memory that decoding it requires.

        Raises:
            InputFileError: as :meth:`read` raises it, if the header of the image is enough.
        """
        frame, name = self._frame(page)
        if self.dpi is None:
            return header_of(self.data, name, frame)
        with errors_of(name):
            size = pdf_page_size(self.data, name, frame, self.dpi)
        # PDFium's bitmap and a copy of it, 3 bytes each, and the images on the page
        return Header(width=size[0], height=size[1], bytes_per_pixel=10)

    def _frame(self, page: int) -> tuple[int, str]:
        """Return the number of a page's image in the file, and the name of the page."""
        page = page_number(page)
        if not 1 <= page <= self.pages:
            raise InputFileError(f"{self.name}: no page {page}; the file has {self.pages}")
        name = self.name if self.pages == 1 else f"{self.name}, page {page}"
        return self.frames[page - 1], name


def page_number(page: int) -> int:
    """Return the number of a page as ``int``; ``numpy.int64`` and the like are accepted.

    Raises:
        TypeError: it is not a whole number.
    """
    try:
        return operator.index(page)
    except TypeError:
        raise TypeError(f"page is {page!r}; expected a whole number from 1") from None


def open_image(
    source: Path | str | bytes, name: str | None = None, *, dpi: int = DEFAULT_DPI
) -> ImageFile:
    """Open an image file: its path, or its content.

    The format is recognized by content: PNG, JPEG, BMP, TIFF, WebP, GIF, AVIF, JPEG 2000, PNM, HEIC
    with pi-heif, and PDF with pypdfium2. TIFF and PDF files have pages; of other files only the
    first image is read, and ``notes`` states that there are more.

    >>> import ocr_trt
    >>> file = ocr_trt.open_image("scan.tiff")
    >>> file.pages, file.read(page=2).shape
    (3, (96, 160, 3))

    Args:
        source: a path, also of a named pipe, or the content of a file.
        name: the name of the image in messages; by default its path.
        dpi: the resolution of the pages of a PDF document, in pixels per inch.

    Raises:
        InputFileError: it cannot be read, is over 256 MiB, is of no known format or damaged, or has
            more than 2,000 pages.
        OutOfMemoryError: there is not enough memory to open it.
        UserError: ``dpi`` is not 10 to 2400.
    """
    if not LOWEST_DPI <= dpi <= HIGHEST_DPI:
        raise UserError(f"dpi is {dpi}; expected {LOWEST_DPI} to {HIGHEST_DPI}")
    if name is None:
        name = UNNAMED if isinstance(source, bytes) else str(source)
    with errors_of(name):
        data = bytes_or_path(source, name)
        with opened(data) as file:
            head = file.read(HEAD)
        if is_pdf(head):
            pages = tuple(range(pdf_pages(data, name, dpi)))
            return ImageFile(name=name, data=data, frames=pages, notes=(), dpi=dpi)
    frames = frames_of(data, name)
    return ImageFile(name=name, data=data, frames=frames.numbers, notes=frames.notes)


def load_image(source: Path | str | bytes, page: int = 1, *, name: str | None = None) -> Image:
    """Read one page of an image file, (H, W, 3) uint8 RGB; see :func:`open_image`.

    Raises:
        InputFileError: it is no valid image, or has no such page.
        OutOfMemoryError: there is not enough memory to read it.
    """
    return open_image(source, name).read(page)


def image_from_pil(image: PilImage.Image, name: str) -> Image:
    """Convert a Pillow image of any mode, as :meth:`ImageFile.read` converts a page.

    Pillow decodes a file only when its pixels are used, so this may also decode.
    """
    with errors_of(name):
        check_size(image.size, name)  # the size that the header states
        return rgb_from_pil(image)
