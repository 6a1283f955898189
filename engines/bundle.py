"""Engine bundles on disk: written whole or not at all, checked before anything in them is used."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import InputFileError, OutputError
from ..spec import DetectorSpec, RecognizerSpec, spec_seen_from
from .manifest import NAME, FileEntry, Manifest, read_manifest

_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle whose manifest was read; files are checked by :func:`load_bundle`."""

    folder: Path
    manifest: Manifest

    @property
    def spec(self) -> DetectorSpec | RecognizerSpec:
        """The spec the bundle was built from; its ``source.path`` seen from here."""
        return spec_seen_from(self.manifest.spec, self.folder)

    @property
    def label(self) -> str:
        """What to call it in tables: name, target, precision."""
        return f"{self.spec.name} {self.manifest.target} {self.manifest.precision}"

    def path(self, name: str) -> Path:
        """Return the path of a file of the bundle."""
        return self.folder / name


def file_entry(path: Path) -> FileEntry:
    """Return size and SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return FileEntry(bytes=path.stat().st_size, sha256=digest.hexdigest())


def tree_sha256(path: Path) -> str:
    """Return one SHA-256 over a file, or over the names and contents of a folder's files."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(path.parent).as_posix().encode())
        digest.update(file_entry(file).sha256.encode())
    return digest.hexdigest()


def file_entries(folder: Path) -> dict[str, FileEntry]:
    """Return the entry of every file below ``folder`` but the manifest, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    return {path.relative_to(folder).as_posix(): file_entry(path) for path in files}


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def load_bundle(folder: Path | str) -> Bundle:
    """Read a bundle and check all its files against its manifest.

    Raises:
        InputFileError: no bundle, a file is missing or was changed, or a path leads out of it.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    named = {name for engine in manifest.engines for name in (engine.model, engine.plan)}
    for name in sorted(named | set(manifest.files)):
        if not _is_inside(name):
            raise InputFileError(f"{folder}: its manifest names {name!r}, outside the bundle")
        if name not in manifest.files:
            raise InputFileError(f"{folder}: {name} is used but not listed in its manifest")
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise InputFileError(f"{folder}: {name} is missing; build the bundle again")
        if file_entry(path) != manifest.files[name]:
            raise InputFileError(
                f"{folder}: {name} is not the file that was built (size or SHA-256 differs); "
                "copy or build the bundle again"
            )
    return Bundle(folder=folder, manifest=manifest)


def check_destination(folder: Path, mark: str = NAME) -> None:
    """Check that ``folder`` may be written or replaced, before any work is done.

    A folder that is there already may be replaced if it is empty or holds the file ``mark``.

    Raises:
        OutputError: something else is in the way, or the parent cannot be written.
    """
    is_ours = not folder.exists() or (folder / mark).is_file()
    if not is_ours and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder}: is in the way (no {mark} in it); nothing was written")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder.parent):
            pass
    except OSError as error:
        raise OutputError(
            f"{folder.parent}: cannot be written: {error.strerror or error}"
        ) from None


@contextlib.contextmanager
def whole_folder(folder: Path, mark: str = NAME) -> Iterator[Path]:
    """Give a scratch folder beside ``folder`` that takes its place if the block ends well.

    Whatever else happens, errors, Ctrl-C or a full disk, the scratch folder is removed and an
    older ``folder`` stays as it was.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    check_destination(folder, mark)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        scratch.chmod(0o755)
        yield scratch
        _swap(scratch, folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(f"{folder}: the disk is full; nothing was written") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise OutputError(f"{folder}: cannot be written: {error.strerror}") from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _swap(scratch: Path, folder: Path) -> None:
    if not folder.exists():
        scratch.replace(folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    try:
        old = folder.replace(aside / "old")
        try:
            scratch.replace(folder)
        except OSError:
            old.replace(folder)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, the last file of a bundle."""
    text = manifest.model_dump_json(indent=2, exclude_none=True)
    (folder / NAME).write_text(text + "\n", "utf-8")
