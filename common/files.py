"""Write output completely or not at all, and never replace files of other programs."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from ..errors import OutputError

SCRATCH = ".ocr-trt-"
"""Prefix of the names of unfinished files and folders."""
_CHUNK = 1 << 20
# Disk full, over quota, file too large for the file system.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _output_error(path: Path, error: OSError) -> OutputError:
    if error.errno in _FULL:
        return OutputError(f"{path}: the disk is full; nothing was written")
    return OutputError(f"{path}: cannot be written: {error.strerror or error}")


def check_file_destination(path: Path) -> None:
    """Check that a file can be written to ``path`` before any work is done.

    Raises:
        OutputError: ``path`` is a folder, or its parent cannot be written.
    """
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file")
    check_writable(path.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder. It is renamed first, so that no process sees a part of its content.

    Raises:
        OSError: there is no such folder, or it cannot be renamed.
    """
    aside = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=folder.parent))
    try:
        folder.replace(aside / "old")
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_writable(folder: Path) -> None:
    """Create ``folder`` if it does not exist, and check that files can be written to it.

    Raises:
        OutputError: the folder cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _output_error(folder, error) from None


def write_whole(path: Path, data: bytes | str) -> None:
    """Write a file completely, or keep the old one.

    Raises:
        OutputError: the disk is full, or the file cannot be written.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    scratch: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=SCRATCH, delete=False) as file:
            scratch = Path(file.name)
            file.write(content)
        scratch.chmod(0o644)  # NamedTemporaryFile gives 0o600
        scratch.replace(path)
    except BaseException as error:
        if scratch is not None:
            scratch.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _output_error(path, error) from None
        raise


def _is_there(path: Path) -> bool:
    try:
        path.lstat()  # unlike Path.exists, it does not follow links
    except FileNotFoundError:
        return False
    return True


def check_destination(folder: Path, own: Collection[str]) -> None:
    """Check that ``folder`` can be written or replaced before any work is done.

    Args:
        folder: may be missing, empty, or contain files that may be replaced.
        own: the paths of these files below ``folder``.

    Raises:
        OutputError: it contains anything else, or its parent cannot be written.
    """
    try:
        if _is_there(folder):
            if folder.is_symlink() or not folder.is_dir():
                raise OutputError(
                    f"{folder}: exists and is not a folder; nothing was written, name another one"
                )
            files = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
            foreign = next((p for p in files if p.relative_to(folder).as_posix() not in own), None)
            if foreign is not None:
                raise OutputError(
                    f"{folder}: contains {foreign.name!r:.60}, which ocr-trt did not write; "
                    "nothing was written, name another folder"
                )
    except OSError as error:
        raise _output_error(folder, error) from None
    # Path(".") has no name, and its parent would be itself.
    check_writable((folder if folder.name else folder.resolve()).parent)


@contextlib.contextmanager
def whole_folder(folder: Path, own: Collection[str]) -> Iterator[Path]:
    """Yield a scratch folder that replaces ``folder`` if the block ends without an error.

    After an error, Ctrl-C or a full disk the scratch folder is removed and an older ``folder``
    stays as it was. ``own``: as for :func:`check_destination`.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    check_destination(folder, own)
    folder = folder.absolute() if folder.name else folder.resolve()
    scratch: Path | None = None
    try:
        # Beside the folder, so that the rename at the end stays on one file system.
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=folder.parent))
        scratch.chmod(0o755)  # mkdtemp gives 0o700
        yield scratch
        _swap(scratch, folder)
    except OSError as error:
        if error.errno in (*_FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG):
            raise _output_error(folder, error) from error
        raise
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _swap(scratch: Path, folder: Path) -> None:
    """Replace ``folder`` by ``scratch``. A folder with files must be renamed first."""
    if not folder.exists():
        scratch.replace(folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=folder.parent))
    old = aside / "old"
    try:
        folder.replace(old)
        scratch.replace(folder)
    except BaseException:  # Ctrl-C too: bring the old folder back
        if old.exists() and not folder.exists():
            old.replace(folder)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
