"""Read files of any origin: regular files only, with a limit on the size."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import InputFileError
from .error_text import check_memory
from .path_text import is_text

_MIB = 1 << 20
_PAGE = 4096  # files of /proc state the size 0


def check_file_or_folder(path: Path) -> None:
    """Refuse pipes, sockets and devices, which could block or never end. A missing path passes.

    Raises:
        InputFileError: the path is neither a regular file nor a folder.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # the code that opens it states the reason
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputFileError(f"{path}: neither a regular file nor a folder")


def check_utf8(path: Path) -> None:
    """Refuse a path that is not UTF-8: most libraries that read models fail with it.

    Raises:
        InputFileError: it is not.
    """
    if not is_text(path):
        raise InputFileError(
            f"{path}: the path is not UTF-8, and models can only be read from paths that are; "
            "rename the file or its folder"
        )


def check_folder(path: Path) -> None:
    """Check that a path is a folder that can be listed.

    Raises:
        InputFileError: it does not exist, is a file, or cannot be listed.
    """
    try:
        with os.scandir(path):
            pass
    except FileNotFoundError:
        raise InputFileError(f"{path}: no such folder") from None
    except NotADirectoryError:
        raise InputFileError(f"{path}: is not a folder; name a folder of images") from None
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path}: cannot be read: {error}") from None


def read_limited(path: Path, *, limit: int, what: str) -> bytes:
    """Read a regular file of at most ``limit`` bytes.

    Args:
        path: of the file.
        limit: bytes.
        what: the kind of file in error messages, such as "a JSON file".

    Raises:
        InputFileError: it does not exist, cannot be read, is too large or not a regular file.
        OutOfMemoryError: there is not enough memory for it.
    """
    try:
        # Opening a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", closefd=True) as file:
            status = os.fstat(descriptor)
            mode = status.st_mode
            if not stat.S_ISREG(mode):
                kind = "is a folder" if stat.S_ISDIR(mode) else "not a regular file"
                raise InputFileError(f"{path}: {kind}; name {what}")
            # One byte more, because the file may grow while it is read. Not more than that: the
            # whole size is allocated at once.
            content = file.read(min(limit, max(status.st_size, _PAGE)) + 1)
    except FileNotFoundError:
        raise InputFileError(f"{path}: no such file; name {what}") from None
    except (OSError, MemoryError) as error:
        check_memory(error, path)
        raise InputFileError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None
    except ValueError as error:  # a NUL byte in the name
        raise InputFileError(f"{str(path)!r}: cannot be read: {error}") from None
    if len(content) > limit:
        raise InputFileError(
            f"{path}: larger than {limit} bytes ({limit / _MIB:.3g} MiB), the limit for {what}"
        )
    return content
