"""List the image files of a folder, and state what in it was left out and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...common.read_file import check_folder
from ...errors import InputFileError
from .sniff import HEAD, SUFFIXES, is_image

DRAWING = ".ocr.png"
"""Suffix of the images that ``run --draw`` writes."""
_NAMED = 5
"""How many names a note lists."""


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """The image files of a folder, by name, and what was left out."""

    files: tuple[Path, ...]
    left_out: tuple[tuple[Path, str], ...] = ()
    """Paths, and why they were left out."""

    def notes(self) -> Iterator[str]:
        """Yield one line for each reason, with the number of files and some names."""
        by_reason: dict[str, list[Path]] = defaultdict(list)
        for path, reason in self.left_out:
            by_reason[reason].append(path)
        for reason, paths in by_reason.items():
            names = ", ".join(str(path) for path in paths[:_NAMED])
            more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
            yield f"left out, {reason}: {names}{more}"


def list_images(
    folder: Path, *, recursive: bool = False, subfolder: str = "subfolder (use --recursive)"
) -> ImageFolder:
    """List the image files of a folder, by name.

    A file is an image if its content or its suffix is that of one; if only the suffix is, reading
    the file raises an error. Hidden files, links to folders, and drawings of ``run --draw`` are
    left out.

    Args:
        folder: the folder.
        recursive: also list the files of its subfolders.
        subfolder: the reason in the notes about subfolders that are left out.

    Raises:
        InputFileError: it is no folder, cannot be read, or contains no image files.
    """
    check_folder(folder)
    files: list[Path] = []
    left_out: list[tuple[Path, str]] = []
    folders = [folder]
    while folders:
        inner: list[Path] = []
        for path in _entries(folders.pop(), folder, left_out):
            if path.is_dir() and not path.is_symlink() and recursive and path.name[0] != ".":
                inner.append(path)
            elif reason := _reason(path, "link to a folder" if recursive else subfolder):
                left_out.append((path, reason))
            else:
                files.append(path)
        folders += reversed(inner)  # the last one is next
    listed = ImageFolder(files=tuple(files), left_out=tuple(left_out))
    if not files:
        why = "; ".join(listed.notes()) or "the folder is empty"
        raise InputFileError(f"{folder}: no image files in it ({why})")
    return listed


def _entries(folder: Path, top: Path, left_out: list[tuple[Path, str]]) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        if folder == top:
            raise InputFileError(f"{folder}: cannot be read: {error.strerror}") from None
        left_out.append((folder, f"folder that cannot be read ({error.strerror})"))
        return []


def _reason(path: Path, folder: str) -> str | None:
    """Return why a path is not an image to read; None if it is. ``folder``: why not, for folders.

    Following links could list the same images twice, or never end.
    """
    if path.name.startswith("."):
        return "hidden"
    if path.is_dir():
        return folder
    if not path.is_file():
        return "not a regular file" if path.exists() else "broken link"
    if path.name.lower().endswith(DRAWING):
        return "drawn by an earlier run"
    if path.suffix.lower() in SUFFIXES:
        return None
    try:
        with path.open("rb") as file:
            return None if is_image(file.read(HEAD)) else "not an image"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
