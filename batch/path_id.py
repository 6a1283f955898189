"""Ids of images by their paths."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..common.path_text import is_text, path_text

_ESCAPED_BYTE = re.compile(rb"\\x[89a-f][0-9a-f]")
r"""What an escaped byte looks like: only the bytes 80 to FF are not UTF-8."""


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
