"""What is kept beside finished bundles to save time: all of it can be made again."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from ..common.files import cache_root, remove_folder

FOLDERS = {
    "openvino": "plans that OpenVINO compiled",
    "tuning": "what `optimize` measured",
    "timing": "times of TensorRT's kernels",
    "runtime": "kernels that TensorRT-RTX compiled",
}
"""Names of folders in the cache, and what is in them."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One of the folders."""

    folder: Path
    what: str
    files: int
    bytes: int


def kept() -> list[Kept]:
    """Return the folders that are not empty."""
    found = []
    for name, what in FOLDERS.items():
        sizes = []
        for file in (cache_root() / name).glob("*"):
            with contextlib.suppress(OSError):  # removed meanwhile
                sizes.append(file.stat().st_size)
        if sizes:
            folder = cache_root() / name
            found.append(Kept(folder=folder, what=what, files=len(sizes), bytes=sum(sizes)))
    return found


def clear_kept() -> int:
    """Remove all of it; return the bytes."""
    found = kept()
    for each in found:
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            remove_folder(each.folder)
    return sum(each.bytes for each in found)
