"""The image formats that Pillow decodes: recognize them by content, count pages, decode one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from ...common.error_text import is_out_of_memory
from ...errors import InputFileError, OutOfMemoryError
from ..types import Image
from .by_opencv import decode_by_opencv
from .color_profile import color_transform
from .limits import check_pages, check_size, too_many_pixels
from .pixels import orientation_of, stored_pixels, upright
from .sniff import HEAD, TIFF, is_heif
from .source import opened
from .tiff import TiffImage, tiff_images

_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "AVIF", "JPEG2000", "PPM")
_NAMES = "PNG, JPEG, BMP, TIFF, WebP, GIF, AVIF, JPEG 2000, PNM, HEIC, PDF"


@dataclass(frozen=True, kw_only=True)
class Frames:
    """The images in a file that are pages. ``notes``: what was left out."""

    numbers: tuple[int, ...]
    """Counted from 0, as Pillow does."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Header:
    """The stored size of an image in pixels, and the memory that decoding it requires."""

    width: int
    height: int
    bytes_per_pixel: int
    """At the most, in addition to the content of the file: the decoder's memory and the result."""

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


_BYTES_PER_PIXEL = {"AVIF": 16, "HEIF": 16, "JPEG2000": 24, "GIF": 12}
"""Formats that differ from 4 bytes in Pillow and 3 of the result, twice if it is turned."""
_USUAL, _PROGRESSIVE, _WEBP, _ANIMATED_WEBP, _DEEP = 8, 14, 10, 24, 24


@contextmanager
def errors_of(name: str) -> Iterator[None]:
    """Raise errors of decoders as errors that name the image.

    Pillow's own warnings, about the size and about EXIF data, are left to the program: their
    filters belong to the whole process, so changing them here would not be thread-safe.

    Raises:
        InputFileError: the image is of no known format, too large, or damaged.
        OutOfMemoryError: there is not enough memory to decode it.
    """
    try:
        yield
    except (InputFileError, OutOfMemoryError):
        raise
    # Raised by Pillow's own limit on opening; a program may turn the warning into an error.
    except (PilImage.DecompressionBombError, PilImage.DecompressionBombWarning):
        raise too_many_pixels(name) from None
    except UnidentifiedImageError:
        raise InputFileError(f"{name}: not an image in a known format ({_NAMES})") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ValueError, ...
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"{name}: not enough memory to decode the image; read fewer images at once, or "
                "scale it down"
            ) from None
        raise InputFileError(f"{name}: damaged or truncated image: {error}") from None


@contextmanager
def _opened_image(data: Path | bytes, name: str) -> Iterator[PilImage.Image]:
    with opened(data) as file:
        head = file.read(HEAD)
        file.seek(0)
        if is_heif(head):
            image = _heif_plugin(name).HeifImageFile(file)
        else:
            image = PilImage.open(file, formats=_FORMATS)
        with image:
            yield image


def _heif_plugin(name: str) -> Any:
    try:
        from pi_heif import as_plugin
    except ImportError:
        raise InputFileError(
            f"{name}: reading HEIC requires pi-heif; install it with: pip install 'ocr-trt[heif]'"
        ) from None
    return as_plugin


def frames_of(data: Path | bytes, name: str) -> Frames:
    """Return which images of a file are pages: all of a TIFF file, else the first.

    Raises:
        InputFileError: it is no valid image, or has more than 2,000 pages.
        OutOfMemoryError: there is not enough memory to open it.
    """
    with errors_of(name):
        with opened(data) as file:
            head = file.read(4)
        if head in TIFF:
            return _tiff_pages(data, name)
        with _opened_image(data, name) as image:
            return Frames(numbers=(0,), notes=_other_frames(image))


def _tiff_pages(data: Path | bytes, name: str) -> Frames:
    pages: list[int] = []
    others: list[int] = []
    with opened(data) as file:
        for number, image in enumerate(tiff_images(file)):
            check_pages(number + 1, name)
            (pages if image.is_page else others).append(number)
    if not pages and not others:
        raise InputFileError(f"{name}: a TIFF file without any image")
    if not pages:  # a file that holds nothing else
        return Frames(numbers=tuple(others))
    note = f"{len(others)} reduced copies or masks of pages were left out"
    return Frames(numbers=tuple(pages), notes=(note,) if others else ())


def _other_frames(image: PilImage.Image) -> tuple[str, ...]:
    if image.format == "MPO":
        # Cameras put previews and brightness maps behind a photograph; only views count.
        entries = image.mpinfo.get(0xB002, ())  # type: ignore[attr-defined]
        views = sum("Multi-Frame" in entry["Attribute"]["MPType"] for entry in entries)
        return (f"{views} views of a scene; only the first is read",) if views > 1 else ()
    if not getattr(image, "is_animated", False):
        return ()
    what = "several images" if image.format == "HEIF" else "an animation"
    return (f"{what}; only the first image is read",)


def header_of(data: Path | bytes, name: str, frame: int) -> Header:
    """Read the header of one image of a file.

    Raises:
        InputFileError: it is damaged, over 100 million pixels, or has a side under 4 pixels.
        OutOfMemoryError: there is not enough memory to open it.
    """
    with errors_of(name):
        stored = _tiff_image(data, frame)
        if stored is not None:
            size, cost = stored.size, _DEEP if stored.is_deep else _USUAL
        else:
            with _opened_image(data, name) as image:
                size, cost = image.size, _cost(image)
        check_size(size, name)
        return Header(width=size[0], height=size[1], bytes_per_pixel=cost)


def _cost(image: PilImage.Image) -> int:
    """Return the bytes per pixel that decoding requires."""
    if image.format in ("JPEG", "MPO") and image.info.get("progressive"):
        return _PROGRESSIVE  # it holds the coefficients of the whole image
    if image.format == "WEBP":
        return _ANIMATED_WEBP if getattr(image, "is_animated", False) else _WEBP
    if _is_deep_png(image):
        return _DEEP
    return _BYTES_PER_PIXEL.get(image.format or "", _USUAL)


def decode_frame(data: Path | bytes, name: str, frame: int) -> Image:
    """Decode one image of a file to upright RGB, (H, W, 3) uint8.

    Raises:
        InputFileError: it is damaged, over 100 million pixels, or has a side under 4 pixels.
        OutOfMemoryError: there is not enough memory to decode it.
    """
    with errors_of(name):
        stored = _tiff_image(data, frame)
        if stored is not None and stored.is_deep:
            check_size(stored.size, name)
            return decode_by_opencv(data, frame)
        pixels, orientation = _decoded(data, name, frame)
        return upright(pixels, orientation)


def _tiff_image(data: Path | bytes, frame: int) -> TiffImage | None:
    with opened(data) as file:
        is_tiff = file.read(4) in TIFF
        file.seek(0)
        return next(islice(tiff_images(file), frame, None)) if is_tiff else None


def _decoded(data: Path | bytes, name: str, frame: int) -> tuple[Image, int]:
    """Return the stored pixels (H, W, 3) and their orientation; the decoder's memory is free."""
    with _opened_image(data, name) as image:
        if frame:
            image.seek(frame)
        check_size(image.size, name)
        is_still_webp = image.format == "WEBP" and not getattr(image, "is_animated", False)
        if not is_still_webp and not _is_deep_png(image):
            return stored_pixels(image)
        orientation, to_srgb = orientation_of(image), color_transform(image)
    return decode_by_opencv(data, 0, to_srgb if is_still_webp else None), orientation


def _is_deep_png(image: PilImage.Image) -> bool:
    # "RGB;16B": 16 bits per channel, of which Pillow keeps 8.
    return image.format == "PNG" and image.mode != "I;16" and ";16" in str(image.tile)  # type: ignore[attr-defined]
