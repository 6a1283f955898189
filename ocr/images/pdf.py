"""Render the pages of PDF documents with PDFium."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from ...errors import ImageTooLargeError, InputFileError
from ..types import Image
from .limits import MAX_PIXELS, check_pages, check_size

DEFAULT_DPI = 200
"""Text of 10 points is 28 pixels high."""
LOWEST_DPI, HIGHEST_DPI = 10, 2400
_POINTS_PER_INCH = 72
PDFIUM = RLock()
"""Held while PDFium is used: it has global state and must not be called by two threads at once."""


@contextmanager
def _document(data: Path | bytes, name: str) -> Iterator[Any]:
    """Open a document; other threads wait until it is closed."""
    try:
        import pypdfium2
    except ImportError:
        raise InputFileError(
            f"{name}: reading PDF requires pypdfium2; install it with: pip install 'ocr-trt[pdf]'"
        ) from None
    with PDFIUM:
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                raise InputFileError(
                    f"{name}: the document is encrypted; remove its password first"
                ) from None
            raise
        try:
            yield document
        finally:
            document.close()


def pdf_pages(data: Path | bytes, name: str, dpi: int) -> int:
    """Return the number of pages of a document.

    Raises:
        InputFileError: PDFium is missing, the document is encrypted, or has no pages or more than
            2,000, or every page is too large or too small at ``dpi``.
        Exception: the document is damaged.
    """
    with _document(data, name) as document:
        count = len(document)
        if not count:
            raise InputFileError(f"{name}: the document has no pages")
        check_pages(count, name)
        for page in range(count):
            try:
                _checked_pixels(document, page, name, dpi)
            except InputFileError:
                if page == count - 1:  # one error for the document, not one for each page
                    raise
            else:
                break
        return count


def pdf_page_size(data: Path | bytes, name: str, page: int, dpi: int) -> tuple[int, int]:
    """Return the (width, height) of a page, counted from 0, in pixels at ``dpi``.

    Raises:
        InputFileError: it would have more than 100 million pixels, or a side under 4 pixels.
    """
    with _document(data, name) as document:
        return _checked_pixels(document, page, name, dpi)


def _checked_pixels(document: Any, page: int, name: str, dpi: int) -> tuple[int, int]:
    width, height = document.get_page_size(page)
    scale = dpi / _POINTS_PER_INCH
    size = math.ceil(width * scale), math.ceil(height * scale)
    if size[0] * size[1] > MAX_PIXELS:
        largest = math.floor(dpi * math.sqrt(MAX_PIXELS / (size[0] * size[1])))
        advice = f"use --dpi {largest}" if largest else "correct the size of the page"
        raise ImageTooLargeError(
            f"{name}: {width:.0f}x{height:.0f} points at {dpi} dpi are more than the "
            f"{MAX_PIXELS // 10**6} million pixels allowed; {advice}"
        )
    check_size(size, name)
    return size


def render_pdf_page(data: Path | bytes, name: str, page: int, dpi: int) -> Image:
    """Render a page, counted from 0, with its forms and notes on white; (H, W, 3) uint8 RGB.

    Raises:
        InputFileError: the page, or an image on it, has more than 100 million pixels.
        Exception: the page is damaged.
    """
    with _document(data, name) as document:
        _checked_pixels(document, page, name, dpi)
        document.init_forms()  # fields of a form are drawn only if the forms exist before the page
        opened = document[page]
        _check_images(opened, name)
        bitmap = opened.render(
            scale=dpi / _POINTS_PER_INCH, rev_byteorder=True, fill_color=(255, 255, 255, 255)
        )
        # (H, W, 3 or 4); a copy, because the bitmap's memory ends with the document
        return np.array(bitmap.to_numpy()[:, :, :3])


def _check_images(page: Any, name: str) -> None:
    """Check the images on a page, which PDFium decodes at their full size."""
    from pypdfium2 import raw

    for item in page.get_objects(filter=(raw.FPDF_PAGEOBJ_IMAGE,)):
        measure = getattr(item, "get_px_size", None) or item.get_size  # the name before version 5
        width, height = measure()
        if width * height > MAX_PIXELS:
            raise ImageTooLargeError(
                f"{name}: holds an image of {width}x{height} pixels, more than the "
                f"{MAX_PIXELS // 10**6} million allowed; scale it down first"
            )
