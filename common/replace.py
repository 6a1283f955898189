"""Replace a folder in one step, and write renames to the disk in the right order."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path

_AT_CURRENT_FOLDER = -100  # AT_FDCWD of <fcntl.h>
_RENAME_EXCHANGE = 2  # of <linux/fs.h>
# The kernel, the file system or the C library has no exchange.
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EPERM)


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    try:
        return ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None


def exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False if this system cannot.

    Raises:
        OSError: one of them does not exist, or cannot be renamed.
    """
    rename = _renameat2()
    if rename is None:
        return False
    ends = (_AT_CURRENT_FOLDER, os.fsencode(one), _AT_CURRENT_FOLDER, os.fsencode(other))
    if not rename(*ends, _RENAME_EXCHANGE):
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def flush(path: Path) -> None:
    """Wait until a file, or a folder with all files below it, is on the disk.

    A rename reaches the disk independently of the content: without this, a power failure could
    leave the new name on an empty file.
    """
    paths = [*path.rglob("*"), path] if path.is_dir() else [path]
    for each in paths:
        if each.is_symlink() or not (each.is_file() or each.is_dir()):
            continue
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def flush_names(folder: Path) -> None:
    """Wait until the names in a folder, which renames changed, are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(new: Path, folder: Path) -> None:
    """Rename ``new`` to ``folder``; an older folder of that name takes the place of ``new``.

    Raises:
        OSError: it cannot be renamed; an older folder is as it was.
    """
    old = new.with_name("old")
    try:
        try:
            if exchange(new, folder):
                return
            # Without an exchange there is a moment without any folder.
            folder.replace(old)
        except FileNotFoundError:
            pass  # there is no older folder
        new.replace(folder)
    except BaseException:  # Ctrl-C too: bring the old folder back
        if old.exists() and not folder.exists():
            old.replace(folder)
        raise
