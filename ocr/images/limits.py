"""Limits of the images that are read, whatever their format."""

from __future__ import annotations

from ...errors import ImageTooLargeError, InputFileError

MAX_PIXELS = 100_000_000
MAX_PAGES = 2000
SMALLEST_SIDE = 4
"""Pixels; an image with a shorter side contains no readable text."""


def too_many_pixels(name: str) -> ImageTooLargeError:
    """Return the error of an image with more pixels than allowed."""
    return ImageTooLargeError(
        f"{name}: more than the {MAX_PIXELS // 10**6} million pixels allowed; scale it down first"
    )


def check_size(size: tuple[int, int], name: str) -> None:
    """Check the (width, height) that a header states, before pixels are decoded."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise too_many_pixels(name)
    if min(width, height) < SMALLEST_SIDE:
        raise InputFileError(f"{name}: {width}x{height} pixels is too small to hold text")


def check_pages(count: int, name: str) -> None:
    """Check the number of pages of a document."""
    if count > MAX_PAGES:
        raise ImageTooLargeError(
            f"{name}: {count:,} pages, more than the {MAX_PAGES:,} allowed; split the file first"
        )
