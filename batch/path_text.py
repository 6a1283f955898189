"""Paths as text: names of files need not be UTF-8, but Arrow and JSON accept nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ESCAPED_BYTE = re.compile(rb"\\x[89a-f][0-9a-f]")
r"""What an escaped byte looks like: only the bytes 80 to FF are not UTF-8."""


def path_text(path: Path | str | bytes) -> str:
    """Return a path as text; bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def path_id(path: Path | str | bytes) -> str:
    r"""Return a text that no other path has: the path itself, or an escaped form of it.

    The file whose name is the byte FF and the file whose name is the four characters ``\xff`` are
    two files. In paths that contain either, backslashes are doubled, so the ids are ``\xff`` and
    ``\\xff``.
    """
    name = os.fsencode(path)
    if _ESCAPED_BYTE.search(name) or not is_text(path):
        name = name.replace(b"\\", b"\\\\")
    return path_text(name)


def is_text(path: Path | str | bytes) -> bool:
    """Whether Arrow can open a path: it accepts UTF-8 only."""
    return path_text(path).encode() == os.fsencode(path)
