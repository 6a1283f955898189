"""Images in every form in which Python programs hold them: files, bytes, arrays, Pillow images."""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from ..errors import InputFileError, UserError
from .image import UNNAMED, ImageFile, image_from_pil, open_image, page_number
from .images.pdf import DEFAULT_DPI
from .images.source import read_bounded
from .types import Image

ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | ImageFile
    | PilImage.Image | npt.NDArray[np.uint8]
)  # fmt: skip
"""A path; the content of an image file, as bytes or as a file object open in binary mode; a file
that :func:`ocr_trt.open_image` opened; a Pillow image; or an array (H, W) gray, (H, W, 3) or
(H, W, 4) with alpha, uint8, also as a memoryview.
"""
Channels = Literal["rgb", "bgr"]
"""The order of the color channels of an array; OpenCV's is ``bgr``."""

_FIXES = {
    "bool": "convert it with image.astype(np.uint8) * 255",
    "uint16": "if its range is 0..65535, convert it with (image // 257).astype(np.uint8)",
}
_FLOAT_FIX = (
    "if its range is 0..1, convert it with (image * 255).round().astype(np.uint8); if it is 0..255,"
    " with image.round().astype(np.uint8)"
)
_OTHER_FIX = "if its range is 0..255, convert it with image.astype(np.uint8)"
_SHAPES = "(H, W), (H, W, 3) or (H, W, 4)"


@dataclass(frozen=True, kw_only=True)
class LoadedImage:
    """One page of an image.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        pages: the number of pages of its file; 1 for Pillow images and arrays.
        notes: what of the file is never read, such as all but the first image of an animation.
    """

    pixels: Image
    pages: int = 1
    notes: tuple[str, ...] = ()


def load_source(
    source: ImageSource,
    channels: Channels = "rgb",
    page: int = 1,
    watch: Callable[[], None] | None = None,
) -> LoadedImage:
    """Load an image in any form as RGB.

    Files and Pillow images are turned upright by their EXIF orientation, and state the order of
    their channels themselves. Transparent pixels get a color that contrasts with the others: white,
    black or gray.

    Args:
        source: the image. A file object is read from its position to its end.
        channels: the order of the channels of an array.
        page: which page of a file with several, counted from 1.
        watch: as for :meth:`ImageFile.read`.

    Raises:
        InputFileError: a file cannot be read or decoded or has no such page, or the image is too
            small or too large.
        UserError: an array has another type or shape; the message states how to convert it.
        TypeError: the source is of another type.
    """
    if channels not in ("rgb", "bgr"):
        raise UserError(f"channels is {channels!r}; expected 'rgb' or 'bgr'")
    source = opened(source)
    if isinstance(source, ImageFile):
        pixels = source.read(page, watch=watch)
        return LoadedImage(pixels=pixels, pages=source.pages, notes=source.notes)
    if page_number(page) != 1:
        raise InputFileError(f"no page {page}: an array or a Pillow image is a single page")
    if isinstance(source, np.ndarray):
        return LoadedImage(pixels=_from_array(source, channels))
    return LoadedImage(pixels=image_from_pil(source, name_of(source) or UNNAMED))


def opened(
    source: ImageSource, dpi: int = DEFAULT_DPI
) -> ImageFile | PilImage.Image | npt.NDArray[np.uint8]:
    """Open an image if it is a file, and return it unchanged otherwise.

    ``dpi``: the resolution of the pages of a PDF document.

    Raises:
        InputFileError: a file cannot be read.
        TypeError: the source is of another type.
    """
    if isinstance(source, (ImageFile, PilImage.Image, np.ndarray)):
        return source
    if isinstance(source, (str, os.PathLike)):
        return open_image(_path(os.fsdecode(source)), dpi=dpi)
    if isinstance(source, memoryview) and source.ndim > 1:  # of an array, not of a file
        return np.asarray(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return open_image(bytes(source), dpi=dpi)
    if hasattr(source, "read"):
        return open_image(_content(source), name_of(source) or UNNAMED, dpi=dpi)
    raise TypeError(_not_an_image(source))


def name_of(source: ImageSource) -> str | None:
    """Return the path of an image; None if it does not come from a file with a name."""
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    if isinstance(source, ImageFile):
        return None if source.name == UNNAMED else source.name
    # Open files have a name or a descriptor, Pillow's images a file name, which may be empty.
    name = getattr(source, "filename", None) or getattr(source, "name", None)
    return name if isinstance(name, str) and name else None


def _path(text: str) -> Path:
    if not text:
        raise InputFileError("the path of the image is empty")
    if "://" in text:
        raise InputFileError(f"{text}: is a URL; download the image first, and pass its bytes")
    return Path(text)


def _content(file: IO[bytes]) -> bytes:
    name = name_of(file) or "image"
    if isinstance(file, io.TextIOBase):
        raise TypeError(f"{name}: is open in text mode; open it in binary mode: 'rb'")

    def read(size: int) -> bytes:
        data: Any = file.read(size)
        if inspect.iscoroutine(data):
            data.close()  # or Python would warn that nothing awaited it
        if inspect.isawaitable(data):
            raise TypeError(
                f"{name}: its read() is asynchronous; pass the bytes: await file.read()"
            )
        if not isinstance(data, bytes):
            raise TypeError(f"{name}: read() returned {type(data).__name__}, expected bytes")
        return data

    try:
        return read_bounded(read, name)
    except (OSError, ValueError) as error:  # ValueError: the file is closed
        raise InputFileError(f"{name}: cannot be read: {error}") from None


def _from_array(array: npt.NDArray, channels: Channels) -> Image:
    if array.dtype != np.uint8:
        is_float = np.issubdtype(array.dtype, np.floating)
        fix = _FLOAT_FIX if is_float else _FIXES.get(str(array.dtype), _OTHER_FIX)
        raise UserError(f"the image is an array of {array.dtype}, expected uint8; {fix}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]  # (H, W, 1) -> (H, W)
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise UserError(
            f"the image is an array of shape {array.shape}, expected {_SHAPES}{_fix_of(array)}"
        )
    if array.ndim == 3 and channels == "bgr":
        # (H, W, 3 or 4); alpha, if any, stays last.
        array = array[:, :, [2, 1, 0, 3][: array.shape[2]]]
    # Pillow needs contiguous rows; views such as image[..., ::-1] have none.
    return image_from_pil(PilImage.fromarray(np.ascontiguousarray(array)), "the array")


def _fix_of(array: npt.NDArray) -> str:
    if array.ndim == 4:
        return "; to read several images, use read_all"
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        return "; if the channels come first, use image.transpose(1, 2, 0)"
    return ""


def _not_an_image(source: object) -> str:
    kind = f"{type(source).__module__}.{type(source).__qualname__}".removeprefix("builtins.")
    text = (
        f"{kind} is not an image; expected a path, bytes, a file object in binary mode, a Pillow "
        f"image or a NumPy array {_SHAPES} uint8"
    )
    # Tensors of PyTorch, TensorFlow and JAX.
    return f"{text}; convert it with numpy.asarray(image)" if hasattr(source, "shape") else text
