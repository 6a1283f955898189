"""Where the bytes of an image come from: a file, a pipe, or memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ...errors import InputFileError

LARGEST_FILE = 256 << 20
"""Bytes."""


def bytes_or_path(source: Path | str | bytes, name: str) -> Path | bytes:
    """Return the content of a file if it is in memory or in a pipe, else the path.

    A regular file stays on disk, because decoders read it in parts.

    Raises:
        InputFileError: there is no such file, it is empty or over 256 MiB, or cannot be read.
    """
    if isinstance(source, bytes):
        return _checked(source, name)
    try:
        path = Path(source)
        if path.is_fifo():  # such as <(command) of a shell, or /dev/stdin
            with path.open("rb") as pipe:
                return read_bounded(pipe.read, name)
        return _checked_path(path, name)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        reason = getattr(error, "strerror", None) or error
        raise InputFileError(f"{name}: cannot be read: {reason}") from None


def read_bounded(read: Callable[[int], bytes], name: str) -> bytes:
    """Read an image file to its end; ``read``: the method of an open file.

    Raises:
        InputFileError: nothing is left, or more than 256 MiB.
        OSError: it cannot be read.
    """
    parts = []
    left = LARGEST_FILE + 1  # one byte more shows that a file that never ends is too large
    while left and (part := read(left)):  # a pipe returns what it has
        parts.append(part)
        left -= len(part)
    return _checked(b"".join(parts), name)


def opened(data: Path | bytes) -> BinaryIO:
    """Open the result of :func:`bytes_or_path` for reading.

    Raises:
        OSError: the file cannot be opened.
    """
    return io.BytesIO(data) if isinstance(data, bytes) else data.open("rb")


def _checked_path(path: Path, name: str) -> Path:
    if path.is_dir():
        raise InputFileError(f"{name}: is a folder, expected an image file")
    if not path.is_file():
        kind = "not a regular file" if path.exists() else "no such file"
        broken = " (a broken link)" if path.is_symlink() and not path.exists() else ""
        raise InputFileError(f"{name}: {kind}{broken}")
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise _too_large(name)
    if not size:
        raise InputFileError(f"{name}: the file is empty")
    return path


def _checked(data: bytes, name: str) -> bytes:
    if len(data) > LARGEST_FILE:
        raise _too_large(name)
    if not data:
        raise InputFileError(f"{name}: the file is empty")
    return data


def _too_large(name: str) -> InputFileError:
    return InputFileError(f"{name}: larger than {LARGEST_FILE >> 20} MiB, the limit for an image")
