"""List the image files of a folder, and what in it was left out."""

from __future__ import annotations

from pathlib import Path

from ...common.read_file import check_folder
from ...errors import InputFileError
from .sniff import SUFFIXES


def image_files(folder: Path) -> list[Path]:
    """Return the image files directly in ``folder``, by name.

    Raises:
        InputFileError: it is no folder, or contains no image files.
    """
    check_folder(folder)
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise InputFileError(f"{folder}: no image files in it ({', '.join(sorted(SUFFIXES))})")
    return files
