"""Paths as text: names of files need not be UTF-8, but Arrow and JSON accept nothing else."""

from __future__ import annotations

import os
from pathlib import Path


def path_text(path: Path | str | bytes) -> str:
    """Return a path as text; bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_text(path: Path) -> bool:
    """Whether Arrow can open a path: it accepts UTF-8 only."""
    return path_text(path) == str(path)
