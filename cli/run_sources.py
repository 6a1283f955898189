"""The images that ``ocr-trt run`` reads, and notes about those that it does not."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputFileError
from .model_options import missing
from .printing import one_line
from .shared_options import DisplayOptions

if TYPE_CHECKING:
    from ..ocr.image import ImageFile


def sources_of(
    paths: Sequence[Path], dpi: int, recursive: bool, display: DisplayOptions
) -> list[ImageFile | Path]:
    """Return the named files, the images in the named folders, and standard input for ``-``.

    Raises:
        InputFileError: a path does not exist, a folder holds no images, or no image comes from
            standard input.
    """
    from ..ocr.images.folder import list_images

    sources: list[ImageFile | Path] = []
    for path in paths:
        if str(path) == "-":
            sources.append(_standard_input(dpi))
        elif path.is_dir():
            listed = list_images(path, recursive=recursive)
            print_notes((f"{path}: {note}" for note in listed.notes()), display)
            sources += listed.files
        elif path.exists():
            sources.append(path)
        else:
            raise InputFileError(f"{path}: a broken link" if path.is_symlink() else missing(path))
    return sources


def _standard_input(dpi: int) -> ImageFile:
    from ..ocr.image import open_image
    from ..ocr.images.source import read_bounded

    advice = "pipe an image into the command: ocr-trt run - < IMAGE"
    if sys.stdin is None:
        raise InputFileError(f"-: standard input is closed; {advice}")
    if sys.stdin.isatty():
        raise InputFileError(f"-: standard input is a terminal; {advice}")
    try:
        data = read_bounded(sys.stdin.buffer.read, "-")
    except OSError as error:
        raise InputFileError(
            f"-: standard input cannot be read: {error.strerror}; {advice}"
        ) from None
    return open_image(data, "-", dpi=dpi)


def print_notes(notes: Iterable[str], display: DisplayOptions) -> None:
    """Print what is not read to stderr, also with --json: stdout holds only the result."""
    if not display.quiet:
        for note in notes:
            print(f"  note: {one_line(note)}", file=sys.stderr)
