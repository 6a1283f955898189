"""Read untrusted image files: check them before decoding, convert to upright 8-bit RGB."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as PilImage
from PIL import ImageOps, UnidentifiedImageError

from ..errors import InputFileError
from .types import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
LARGEST_FILE = 256 << 20
"""Bytes."""
MAX_PIXELS = 100_000_000
SMALLEST_SIDE = 4
"""Pixels; an image with a shorter side contains no readable text."""


def _check_size(size: tuple[int, int], name: str) -> None:
    """Check a (width, height), if possible before pixels are decoded."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(name)
    if min(width, height) < SMALLEST_SIDE:
        raise InputFileError(f"{name}: {width}x{height} pixels is too small to hold text")


def _too_many_pixels(name: str) -> InputFileError:
    return InputFileError(
        f"{name}: more than the {MAX_PIXELS // 10**6} million pixels allowed; scale it down first"
    )


def _eight_bit(image: PilImage.Image) -> PilImage.Image:
    """Convert 16-bit, 32-bit and float gray images to 8 bits; return others unchanged."""
    if image.mode == "F":
        pixels = np.nan_to_num(np.asarray(image))
        # Float images use the range 0..1 or 0..255; the largest value decides.
        factor = 255.0 if pixels.size and pixels.max() <= 1.0 else 1.0
        return PilImage.fromarray(np.clip(pixels * factor, 0, 255).astype(np.uint8))
    if image.mode.startswith("I"):
        pixels = np.asarray(image).astype(np.int64)
        if pixels.max(initial=0) > 255:
            pixels = (pixels + 128) // 257  # 65535 / 255 = 257, rounded to nearest
        return PilImage.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return image


def _rgb(image: PilImage.Image) -> PilImage.Image:
    """Convert any mode to RGB; transparent pixels become white."""
    image = _eight_bit(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = PilImage.new("RGBA", image.size, "white")
        image = PilImage.alpha_composite(white, image)
    return image.convert("RGB")


def image_from_pil(image: PilImage.Image, name: str) -> Image:
    """Convert a Pillow image of any mode; see :func:`decode_image`.

    Pillow decodes a file only when its pixels are used, so this may also decode.
    """
    with _decoding(name):
        _check_size(image.size, name)  # the size that the header states
        upright = ImageOps.exif_transpose(image)
        return np.ascontiguousarray(np.asarray(_rgb(upright)))


def decode_image(data: bytes, name: str) -> Image:
    """Decode a PNG, JPEG, BMP, TIFF or WebP file held in memory.

    Args:
        data: the content of the file.
        name: the name of the image in error messages.

    Returns:
        (H, W, 3) uint8 RGB, turned upright by its EXIF orientation; transparency on white.

    Raises:
        InputFileError: the image is of no known format, damaged, truncated, over 100 million
            pixels, or has a side under 4 pixels.
    """
    if not data:
        raise InputFileError(f"{name}: the file is empty")
    with _decoding(name), PilImage.open(io.BytesIO(data), formats=_FORMATS) as image:
        return image_from_pil(image, name)


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn the errors of Pillow and of its decoders into InputFileError.

    Pillow's own warnings, about the size and about EXIF data, are left to the program: their
    filters belong to the whole process, so changing them here would not be thread-safe.
    """
    try:
        yield
    except PilImage.DecompressionBombError:  # raised by Pillow's own limit on opening
        raise _too_many_pixels(name) from None
    except UnidentifiedImageError:
        kinds = ", ".join(_FORMATS)
        raise InputFileError(f"{name}: not an image in a known format ({kinds})") from None
    except InputFileError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ValueError, ...
        raise InputFileError(f"{name}: damaged or truncated image: {error}") from None


def load_image(path: Path | str) -> Image:
    """Read an image file; see :func:`decode_image`.

    Raises:
        InputFileError: it cannot be read, is over 256 MiB, or is no valid image.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise InputFileError(f"{path}: no such file")
        if path.stat().st_size > LARGEST_FILE:
            raise InputFileError(
                f"{path}: larger than {LARGEST_FILE >> 20} MiB, the limit for an image"
            )
        data = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    return decode_image(data, str(path))


def image_files(folder: Path) -> list[Path]:
    """Return the image files directly in ``folder``, by name.

    Raises:
        InputFileError: it is no folder, or contains no image files.
    """
    if not folder.is_dir():
        raise InputFileError(f"{folder}: no such folder")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise InputFileError(f"{folder}: no image files in it ({', '.join(sorted(SUFFIXES))})")
    return files
