"""Finished bundles, kept by what went into them: the same build is not done twice.

``builds/<key>`` holds a bundle and ``kept.json``. An entry is made in a folder of another name and
gets its own by a rename, and loses it by a rename before it is removed, so whoever looks sees a
whole entry or none; there are no locks. Of two processes that keep the same, the first one wins.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..common.files import SCRATCH, cache_root, remove_folder
from ..errors import InputFileError, UserError
from .bundle import Bundle, file_entry, load_bundle
from .manifest import NAME

MOST_MIB = 4096
"""What is kept, unless the environment says otherwise."""
VARIABLE = "OCR_TRT_CACHE_MIB"
_KEPT = "kept.json"
_STALE = 24 * 3600.0
"""Seconds after which a folder that a stopped process left is removed."""


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    built: datetime
    manifest_sha256: str


@dataclass(frozen=True, kw_only=True)
class CachedBundle:
    """A bundle in the cache. ``built``: when, and its verdict was measured then."""

    key: str
    bundle: Bundle
    built: datetime
    used: datetime
    bytes: int


@dataclass(frozen=True, kw_only=True)
class BuildCache:
    """A folder of finished bundles. ``most``: bytes; those unused for longest go first."""

    folder: Path
    most: int

    def find(self, key: str) -> CachedBundle | None:
        """Return what is kept under a key, all its files checked; a damaged entry is removed."""
        try:
            found = self._read(key)
        except FileNotFoundError:
            if not (self.folder / key).exists():
                return None
            found = None
        except (OSError, ValueError, InputFileError):
            found = None
        with contextlib.suppress(OSError):
            if found is None:
                remove_folder(self.folder / key)
            else:
                os.utime(self.folder / key)
        return found

    def _read(self, key: str) -> CachedBundle:
        entry = self.folder / key
        used = datetime.fromtimestamp(entry.stat().st_mtime, timezone.utc)
        try:
            kept = _Kept.model_validate_json((entry / _KEPT).read_bytes())
        except ValidationError as error:
            raise InputFileError(f"{entry}: {error.errors()[0]['msg']}") from None
        bundle = load_bundle(entry / "bundle")
        if file_entry(bundle.path(NAME)).sha256 != kept.manifest_sha256:
            raise InputFileError(f"{entry}: its manifest is not the one that was kept")
        size = _bytes(entry)
        return CachedBundle(key=key, bundle=bundle, built=kept.built, used=used, bytes=size)

    def keep(self, key: str, bundle: Bundle) -> None:
        """Keep a copy of a bundle, unless there is one or it is larger than all that may be kept.

        Raises:
            OSError: the folder cannot be written.
        """
        names = [NAME, *bundle.manifest.files]
        if sum(bundle.path(name).stat().st_size for name in names) > self.most:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=self.folder))
        try:
            copy_files(bundle, scratch / "bundle")
            digest = file_entry(scratch / "bundle" / NAME).sha256
            kept = _Kept(built=datetime.now(timezone.utc), manifest_sha256=digest)
            (scratch / _KEPT).write_text(kept.model_dump_json() + "\n", "utf-8")
            if not (self.folder / key).exists():
                with contextlib.suppress(FileExistsError):
                    _rename(scratch, self.folder / key)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self._make_room()

    def _make_room(self) -> None:
        """Remove what was unused for longest until the rest is small enough, and what is stale."""
        left, sizes, oldest = time.time() - _STALE, dict[Path, int](), dict[Path, float]()
        for path in self._folders():
            with contextlib.suppress(OSError):
                used = path.stat().st_mtime
                if not path.name.startswith(SCRATCH):
                    sizes[path], oldest[path] = _bytes(path), used
                elif used < left:
                    shutil.rmtree(path, ignore_errors=True)
        total = sum(sizes.values())
        for path in sorted(sizes, key=lambda each: oldest[each]):
            if total <= self.most:
                break
            with contextlib.suppress(OSError):
                remove_folder(path)
            total -= sizes[path]

    def _folders(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []

    def entries(self) -> list[CachedBundle]:
        """Return all that is whole, by when it was last used, the latest first."""
        found = []
        for path in self._folders():
            with contextlib.suppress(OSError, ValueError, InputFileError):
                if not path.name.startswith(SCRATCH):
                    found.append(self._read(path.name))
        return sorted(found, key=lambda entry: entry.used, reverse=True)

    def clear(self) -> int:
        """Remove everything; return how many bytes that were."""
        size = _bytes(self.folder)
        for path in self._folders():
            with contextlib.suppress(OSError):
                remove_folder(path)
        return size


def default_cache() -> BuildCache | None:
    """Return the user's cache; None if it is switched off.

    Raises:
        UserError: ``OCR_TRT_CACHE_MIB`` is no number.
    """
    text = os.environ.get(VARIABLE, str(MOST_MIB))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UserError(f"{VARIABLE}={text!r:.40}: expected MiB to keep at most, 0 for no cache")
    most = int(text) << 20
    return BuildCache(folder=cache_root() / "builds", most=most) if most else None


def copy_files(bundle: Bundle, folder: Path) -> None:
    """Copy a bundle's files. Not links: who edits one copy would change the other.

    Raises:
        OSError: one cannot be read or written.
    """
    for name in (NAME, *bundle.manifest.files):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path(name), target)


def _rename(folder: Path, name: Path) -> None:
    """Rename a folder to a name that is free.

    Raises:
        FileExistsError: it is not free any more.
    """
    try:
        folder.rename(name)
    except OSError as error:
        if name.exists():
            raise FileExistsError(str(name)) from error
        raise


def _bytes(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another process removes it
            size += path.stat().st_size if path.is_file() else 0
    return size
