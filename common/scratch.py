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
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = ".ocr-trt-"
"""Prefix of the names of scratch files and folders."""

# ``tempfile`` adds eight random characters.
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
    outer, lock = _locked_folder(parent)
    try:
        folder = outer / "new"
        folder.mkdir(mode=0o755)
        yield folder
    finally:
        shutil.rmtree(outer, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _locked_folder(parent: Path) -> tuple[Path, int | None]:
    """Create a folder and lock it; no lock where the file system has none."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        try:
            return folder, _lock(folder)
        except (BlockingIOError, FileNotFoundError):
            continue  # another process found it before it was locked, and removes it
        except OSError:
            return folder, None
