"""Reading picture files from strangers: checked before decoding, brought to 8-bit RGB, upright."""

from __future__ import annotations

import io
import warnings
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
MOST_PIXELS = 100_000_000
SMALLEST_SIDE = 4
"""Pixels; nothing can be read in a picture with a shorter side."""


def _checked(picture: PilImage.Image, name: str) -> None:
    """Look at the header only."""
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise _too_many_pixels(name)
    if min(width, height) < SMALLEST_SIDE:
        raise InputFileError(f"{name}: {width}x{height} pixels is too small to hold text")


def _too_many_pixels(name: str) -> InputFileError:
    return InputFileError(
        f"{name}: more than the {MOST_PIXELS // 10**6} million pixels allowed; scale it down first"
    )


def _eight_bit(picture: PilImage.Image) -> PilImage.Image:
    """Bring 16-bit, 32-bit and float grey pictures to 8 bits; leave others."""
    if picture.mode == "F":
        pixels = np.nan_to_num(np.asarray(picture))
        factor = 255.0 if pixels.size and pixels.max() <= 1.0 else 1.0
        return PilImage.fromarray(np.clip(pixels * factor, 0, 255).astype(np.uint8))
    if picture.mode.startswith("I"):
        pixels = np.asarray(picture).astype(np.int64)
        if pixels.max(initial=0) > 255:
            pixels = (pixels + 128) // 257
        return PilImage.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return picture


def _rgb(picture: PilImage.Image) -> PilImage.Image:
    """Bring any mode to RGB; what is transparent shows white."""
    picture = _eight_bit(picture)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = PilImage.new("RGBA", picture.size, "white")
        picture = PilImage.alpha_composite(white, picture)
    return picture.convert("RGB")


def decode_image(data: bytes, name: str) -> Image:
    """Decode a PNG, JPEG, BMP, TIFF or WebP file held in memory.

    Args:
        data: the file's bytes.
        name: what to call it in errors.

    Returns:
        (H, W, 3) uint8 RGB, turned upright by its EXIF orientation; transparency on white.

    Raises:
        InputFileError: no such picture, damaged, truncated, over 100 million pixels, or with a side
            under 4 pixels.
    """
    if not data:
        raise InputFileError(f"{name}: the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size and EXIF warnings
            with PilImage.open(io.BytesIO(data), formats=_FORMATS) as picture:
                _checked(picture, name)
                upright = ImageOps.exif_transpose(picture)
                return np.ascontiguousarray(np.asarray(_rgb(upright)))
    except PilImage.DecompressionBombError:  # Pillow's own limit, met while opening
        raise _too_many_pixels(name) from None
    except UnidentifiedImageError:
        kinds = ", ".join(_FORMATS)
        raise InputFileError(f"{name}: not a picture in a known format ({kinds})") from None
    except InputFileError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ValueError, ...
        raise InputFileError(f"{name}: damaged or truncated picture: {error}") from None


def load_image(path: Path | str) -> Image:
    """Read a picture file; see :func:`decode_image`.

    Raises:
        InputFileError: it cannot be read, is over 256 MiB, or is no good picture.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise InputFileError(f"{path}: no such file")
        if path.stat().st_size > LARGEST_FILE:
            raise InputFileError(f"{path}: over {LARGEST_FILE >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    return decode_image(data, str(path))


def image_files(folder: Path) -> list[Path]:
    """Return the picture files directly in ``folder``, by name.

    Raises:
        InputFileError: it is no folder, or holds no picture files.
    """
    if not folder.is_dir():
        raise InputFileError(f"{folder}: no such folder")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise InputFileError(f"{folder}: no picture files in it ({', '.join(sorted(SUFFIXES))})")
    return files
