"""Read untrusted image files of one or several pages as upright 8-bit RGB."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PilImage

from ..errors import InputFileError
from .images.formats import check_size, decode_frame, errors_of, frames_of
from .images.pixels import rgb_from_pil
from .images.source import bytes_or_path
from .types import Image


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """An image file that was opened: its pages are known, and none is decoded yet.

    Several threads may read pages at the same time.
    """

    name: str
    """In error messages."""
    data: Path | bytes
    frames: tuple[int, ...]
    """The number of each page's image in the file, counted from 0."""
    notes: tuple[str, ...]
    """What of the file is not read, such as all but the first image of an animation."""

    @property
    def pages(self) -> int:
        """The number of pages, at least 1."""
        return len(self.frames)

    def read(self, page: int = 1) -> Image:
        """Decode a page, counted from 1.

        Returns:
            (H, W, 3) uint8 RGB, turned upright by its EXIF orientation, in sRGB if the file has a
            color profile. Transparent parts have a color that contrasts with the others.

        Raises:
            InputFileError: there is no such page, it is damaged, over 100 million pixels, or has a
                side under 4 pixels.
            OutOfMemoryError: there is not enough memory to decode it.
        """
        if not 1 <= page <= self.pages:
            raise InputFileError(f"{self.name}: no page {page}; the file has {self.pages}")
        name = self.name if self.pages == 1 else f"{self.name}, page {page}"
        return decode_frame(self.data, name, self.frames[page - 1])


def open_image(source: Path | str | bytes, name: str | None = None) -> ImageFile:
    """Open an image file: its path, or its content.

    The format is recognized by content: PNG, JPEG, BMP, TIFF, WebP, GIF, AVIF, JPEG 2000, PNM, or
    HEIC with pi-heif. The pages of a TIFF file are pages; of other files only the first image is
    read, and ``notes`` states that there are more.

    Args:
        source: a path, also of a named pipe, or the content of a file.
        name: the name of the image in messages; by default its path.

    Raises:
        InputFileError: it cannot be read, is over 256 MiB, is of no known format or damaged, or has
            more than 2,000 pages.
        OutOfMemoryError: there is not enough memory to open it.
    """
    if name is None:
        name = "image" if isinstance(source, bytes) else str(source)
    with errors_of(name):
        data = bytes_or_path(source, name)
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
