"""Scratch files and folders: locked while their process lives, removed by others once it has died.

A killed process cannot remove what it was writing. The kernel releases its locks, though, so a
scratch file or folder that is not locked belongs to nobody. ``fcntl.flock`` locks files and folders
on local file systems; where it is not supported, nothing is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = ".ocr-trt-"
"""Prefix of the names of scratch files and folders."""

# Eight random characters follow.
_NAME = re.compile(re.escape(PREFIX) + r"[a-z0-9_]{8}")
# Opening a pipe would wait for its writer, and a link could lead anywhere.
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def _lock(path: Path) -> int:
    """Open and lock a file or folder. The lock lasts until the file descriptor is closed.

    Raises:
        BlockingIOError: another process has locked it.
        FileNotFoundError: another process has removed it.
        OSError: it cannot be opened, or its file system has no locks.
    """
    descriptor = os.open(path, _OPEN)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have removed the path, or put another file there, since it was opened.
        if not os.path.samestat(os.fstat(descriptor), path.lstat()):
            raise FileNotFoundError(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_scratch(path: Path) -> bool:
    """Whether a path has the name of a scratch file or folder."""
    return _NAME.fullmatch(path.name) is not None


def remove_abandoned(parent: Path) -> None:
    """Remove the scratch files and folders of dead processes from a folder. Ignores errors."""
    with contextlib.suppress(OSError):
        for path in [entry for entry in parent.iterdir() if is_scratch(entry)]:
            try:
                descriptor = _lock(path)
            except OSError:  # in use, or already removed
                continue
            try:
                if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield an empty folder below ``parent``, which is removed when the block ends.

    The block may rename it. Its own parent is the locked folder, so that it stays protected when it
    is exchanged with another one.

    Raises:
        OSError: ``parent`` cannot be written.
    """
    remove_abandoned(parent)
    # The name is known before the folder exists, so that a signal at any moment, also between two
    # statements here, does not leave the folder behind.
    outer, lock = _unused_path(parent), None
    try:
        lock = _create_locked(outer)
        folder = outer / "new"
        folder.mkdir(mode=0o755)
        yield folder
    finally:
        _remove(outer)
        if lock is not None:
            os.close(lock)


def _unused_path(parent: Path) -> Path:
    while True:
        path = parent / f"{PREFIX}{secrets.token_hex(4)}"
        if not os.path.lexists(path):
            return path


def _create_locked(folder: Path) -> int | None:
    """Create a folder and lock it; no lock where the file system has none."""
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            return _lock(folder)
        except (BlockingIOError, FileNotFoundError):
            time.sleep(0.001)  # another process found it before it was locked, and removes it
        except OSError:
            return None


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except BaseException:  # Ctrl-C in the removal: the folder must be removed all the same
        shutil.rmtree(folder, ignore_errors=True)
        raise


def remove_own() -> None:
    """Remove the scratch folders of this process, which ends immediately afterwards."""
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            path = descriptor.readlink()  # the locked ones are open
            if is_scratch(path):
                shutil.rmtree(path, ignore_errors=True)
