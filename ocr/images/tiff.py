"""The directories of a TIFF file: which of its images are pages, and which Pillow cannot decode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from PIL.TiffImagePlugin import ImageFileDirectory_v2

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _PLANES = 256, 257, 258, 262, 277, 284
_SUBFILE_TYPE = 254  # bit 0 marks a copy of another page at reduced size, bit 2 a mask
_RGB, _GRAY = 2, (0, 1)  # photometric interpretations


@dataclass(frozen=True, kw_only=True)
class TiffImage:
    """One image of a TIFF file."""

    size: tuple[int, int]
    """(width, height) in pixels."""
    is_page: bool
    """False for reduced copies and masks of other images."""
    is_deep: bool
    """Whether only OpenCV decodes all bits of it: Pillow keeps 8 bits of each color."""


def tiff_images(file: BinaryIO) -> Iterator[TiffImage]:
    """Yield the images of a TIFF file in order; directories that form a circle are listed once.

    Raises:
        Exception: a directory is damaged; of many types.
    """
    header = file.read(8)
    if header[2:3] == b"\x2b" or header[3:4] == b"\x2b":  # BigTIFF has a longer header
        header += file.read(8)
    directory = ImageFileDirectory_v2(header)
    seen: set[int] = set()
    while directory.next and directory.next not in seen:
        seen.add(directory.next)
        file.seek(directory.next)
        directory.load(file)
        yield _image_of(directory)


def _image_of(tags: ImageFileDirectory_v2) -> TiffImage:
    bits = tags.get(_BITS, (1,))
    deepest = max(bits) if isinstance(bits, tuple) else bits
    is_color = tags.get(_PHOTOMETRIC) == _RGB and int(tags.get(_SAMPLES, 1)) in (3, 4)
    is_deep_color = is_color and deepest > 8 and tags.get(_PLANES, 1) == 1
    return TiffImage(
        size=(int(tags[_WIDTH]), int(tags[_HEIGHT])),
        is_page=not int(tags.get(_SUBFILE_TYPE, 0)) & 0b101,
        is_deep=is_deep_color or (deepest == 64 and tags.get(_PHOTOMETRIC) in _GRAY),
    )
