"""Write output completely or not at all, and never replace files of other programs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from ..errors import OutputError
from .replace import flush, flush_names, put_in_place
from .scratch import scratch_folder

OwnFiles = Callable[[Path], Collection[str]]
"""Returns the paths of files below a folder that this program wrote, and so may replace."""

_CHUNK = 1 << 20
# Disk full, over quota, file too large for the file system.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    digest = hashlib.sha256()
    # Opening a pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _output_error(path: Path, error: OSError) -> OutputError:
    if error.errno in _FULL:
        return OutputError(f"{path}: the disk is full; nothing was written")
    return OutputError(f"{path}: cannot be written: {error.strerror or error}")


def check_file_destination(path: Path, is_own: Callable[[Path], bool] = lambda _: True) -> None:
    """Check that a file can be written to ``path`` before any work is done.

    Args:
        path: may be missing, or a file that may be replaced.
        is_own: whether an existing file may be replaced; by default every file may.

    Raises:
        OutputError: ``path`` is a folder, a device or another file, or its parent cannot be
            written.
    """
    _check_regular(path)
    if path.exists() and not is_own(path):
        raise OutputError(
            f"{path}: exists, and its content is not what this command writes; nothing was "
            "written; name another file"
        )
    check_writable(path.parent)


def _check_regular(path: Path) -> None:
    """Refuse a folder, a device or a pipe: a rename would replace even /dev/null."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # nothing is there; other reasons are reported by the write
        if os.path.islink(path):  # noqa: PTH114 - Path.is_symlink raises an error for some names
            raise OutputError(
                f"{path}: is a broken link; nothing was written; name a file"
            ) from None
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise OutputError(f"{path}: is {kind}; name a file; nothing was written")


def remove_folder(folder: Path) -> None:
    """Remove a folder. It is renamed first, so that no process sees a part of its content.

    Raises:
        OSError: there is no such folder, or it cannot be renamed.
    """
    with scratch_folder(folder.parent) as scratch:
        folder.replace(scratch / "old")


def check_writable(folder: Path) -> None:
    """Create ``folder`` if it does not exist, and check that files can be written to it.

    Raises:
        OutputError: the folder cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder):  # a kill leaves only what the next build removes
            pass
    except OSError as error:
        raise _output_error(folder, error) from None


def write_whole(path: Path, data: bytes | str) -> None:
    """Write a file completely, or keep the old one.

    Raises:
        OutputError: the disk is full, the file cannot be written, or something other than a file
            is in its place.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    _check_regular(path)
    try:
        with scratch_folder(path.parent) as scratch:
            file = scratch / "file"
            file.write_bytes(content)
            flush(file)
            file.replace(path)
        flush_names(path.parent)
    except OSError as error:
        raise _output_error(path, error) from None


def _is_there(path: Path) -> bool:
    try:
        path.lstat()  # unlike Path.exists, it does not follow links
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time compare and rename the folders in ``folder``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def check_destination(folder: Path, own: OwnFiles) -> None:
    """Check that ``folder`` can be written or replaced before any work is done.

    Args:
        folder: may be missing, empty, or contain files that may be replaced.
        own: returns the paths of these files below ``folder``.

    Raises:
        OutputError: it contains anything else, or its parent cannot be written.
    """
    # Path(".") has no name, and its parent would be itself.
    parent = (folder if folder.name else folder.resolve()).parent
    check_writable(parent)
    with _locked(parent):
        _check_content(folder, own)


def _check_content(folder: Path, own: OwnFiles) -> None:
    try:
        if not _is_there(folder):
            return
        if folder.is_symlink() or not folder.is_dir():
            raise OutputError(
                f"{folder}: exists and is not a folder; nothing was written; choose another path"
            )
        known = own(folder)
        files = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
        foreign = next((p for p in files if p.relative_to(folder).as_posix() not in known), None)
        if foreign is not None:
            raise OutputError(
                f"{folder}: contains {foreign.name!r:.60}, which ocr-trt did not write; "
                "nothing was written; choose another folder"
            )
    except OSError as error:
        raise _output_error(folder, error) from None


@contextlib.contextmanager
def whole_folder(folder: Path, own: OwnFiles) -> Iterator[Path]:
    """Yield a scratch folder that replaces ``folder`` if the block ends without an error.

    After an error, Ctrl-C, a full disk, a kill or a power failure an older ``folder`` is as it was.
    Other processes see the old folder or the new one at any moment. ``own``: as for
    :func:`check_destination`.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    check_destination(folder, own)
    folder = folder.absolute() if folder.name else folder.resolve()
    # Beside the folder, so that the rename at the end stays on one file system.
    with output_errors(folder), scratch_folder(folder.parent) as scratch:
        yield scratch
        flush(scratch)
        with _locked(folder.parent):
            _check_content(folder, own)  # a file may have been added in the meantime
            put_in_place(scratch, folder)
        flush_names(folder.parent)


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn errors of the file system in a block that writes ``path`` into an OutputError.

    Raises:
        OutputError: the disk is full, or the path cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (*_FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG):
            raise _output_error(path, error) from error
        raise
