"""The image formats that Pillow decodes: recognize them by content, count pages, decode one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from ...errors import InputFileError, OutOfMemoryError
from ..types import Image
from .by_opencv import decode_by_opencv
from .color_profile import color_transform
from .pixels import orientation_of, rgb_from_pil, upright
from .source import HEAD, opened
from .tiff import TiffImage, tiff_images

MAX_PIXELS = 100_000_000
MAX_PAGES = 2000
SMALLEST_SIDE = 4
"""Pixels; an image with a shorter side contains no readable text."""
SUFFIXES = frozenset(
    {
        *(".png", ".apng", ".jpg", ".jpeg", ".jfif", ".jpe", ".bmp", ".dib", ".tif", ".tiff"),
        *(".webp", ".gif", ".avif", ".jp2", ".j2k", ".pbm", ".pgm", ".ppm", ".pnm", ".heic"),
        *(".heif", ".pdf"),
    }
)
"""A file with such a name is an image; if it does not contain one, that is an error."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "AVIF", "JPEG2000", "PPM")
_NAMES = "PNG, JPEG, BMP, TIFF, WebP, GIF, AVIF, JPEG 2000, PNM, HEIC, PDF"
_MARKS = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"GIF87a",
    *_TIFF, b"GIF89a", b"\0\0\0\x0cjP  \r\n", b"\xff\x4f\xff\x51",
    *(b"P%d" % kind + space for kind in range(1, 7) for space in (b"\n", b" ", b"\r", b"\t")),
)  # fmt: skip
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_pdf(head: bytes) -> bool:
    """Whether a file with these first bytes is a PDF document."""
    return b"%PDF-" in head[:HEAD]


def _is_heif(head: bytes) -> bool:
    # A mif1 file may contain HEVC or AV1; the compatible brands that follow decide.
    brands = head[8:64]
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS and b"avif" not in brands


def is_image(head: bytes) -> bool:
    """Whether a file with these first bytes is in a known format."""
    is_riff = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    is_box = head[4:8] == b"ftyp" and (head[8:12] in (b"avif", b"avis") or _is_heif(head))
    return head.startswith(_MARKS) or is_riff or is_box or is_pdf(head)


@dataclass(frozen=True, kw_only=True)
class Frames:
    """The images in a file that are pages. ``notes``: what was left out."""

    numbers: tuple[int, ...]
    """Counted from 0, as Pillow does."""
    notes: tuple[str, ...] = ()


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
        if is_memory_error(error):
            raise OutOfMemoryError(
                f"{name}: not enough memory to decode the image; read fewer images at once, or "
                "scale it down"
            ) from None
        raise InputFileError(f"{name}: damaged or truncated image: {error}") from None


def is_memory_error(error: Exception) -> bool:
    """Whether an exception of Python, Pillow or OpenCV means that memory is exhausted."""
    # Pillow: "out of memory error when reading image file". OpenCV: "Insufficient memory".
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "insufficient mem" in text


def too_many_pixels(name: str) -> InputFileError:
    """Return the error of an image with more pixels than allowed."""
    return InputFileError(
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
        raise InputFileError(
            f"{name}: {count:,} pages, more than the {MAX_PAGES:,} allowed; split the file first"
        )


@contextmanager
def _opened_image(data: Path | bytes, name: str) -> Iterator[PilImage.Image]:
    with opened(data) as file:
        head = file.read(HEAD)
        file.seek(0)
        if _is_heif(head):
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
        if head in _TIFF:
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


def decode_frame(data: Path | bytes, name: str, frame: int) -> Image:
    """Decode one image of a file to upright RGB, (H, W, 3) uint8.

    Raises:
        InputFileError: it is damaged, over 100 million pixels, or has a side under 4 pixels.
        OutOfMemoryError: there is not enough memory to decode it.
    """
    with errors_of(name):
        with opened(data) as file:
            image = _tiff_image(file, frame)
        if image is not None and image.is_deep:
            check_size(image.size, name)
            return decode_by_opencv(data, frame)
        return _decode_by_pillow(data, name, frame)


def _tiff_image(file: BinaryIO, frame: int) -> TiffImage | None:
    is_tiff = file.read(4) in _TIFF
    file.seek(0)
    return next(islice(tiff_images(file), frame, None)) if is_tiff else None


def _decode_by_pillow(data: Path | bytes, name: str, frame: int) -> Image:
    with _opened_image(data, name) as image:
        if frame:
            image.seek(frame)
        check_size(image.size, name)
        is_still_webp = image.format == "WEBP" and not getattr(image, "is_animated", False)
        if not is_still_webp and not _is_deep_png(image):
            return rgb_from_pil(image)
        orientation, to_srgb = orientation_of(image), color_transform(image)
    # Pillow's decoder is closed, so that its memory is free.
    return upright(decode_by_opencv(data, 0, to_srgb if is_still_webp else None), orientation)


def _is_deep_png(image: PilImage.Image) -> bool:
    # "RGB;16B": 16 bits per channel, of which Pillow keeps 8.
    return image.format == "PNG" and image.mode != "I;16" and ";16" in str(image.tile)  # type: ignore[attr-defined]
