"""Caches of data that can be computed again, such as finished bundles and compiled plans.

    <root>/<name>/<key>/    one entry: its files, and entry.json with their SHA-256

An entry is written to a scratch folder, which is renamed when it is complete. Before an entry is
removed, it is renamed again. Other processes therefore see a complete entry or none, and no locks
are needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from pydantic import AwareDatetime, Field

from ..errors import InputFileError, UserError
from .files import file_sha256, remove_folder
from .frozen_model import StrictModel
from .json_files import read_model
from .replace import put_in_place
from .scratch import is_scratch, remove_abandoned, scratch_folder

VARIABLE = "OCR_TRT_CACHE_MIB"
NAMES = {
    "builds": "finished bundles",
    "openvino": "plans that OpenVINO compiled",
    "tuning": "streams and threads that `ocr-trt optimize` measured",
    "timing": "times of TensorRT's kernels",
    "runtime": "kernels that TensorRT-RTX compiled",
    "ptx": "kernels of custom ops that NVRTC compiled",
}
"""Folders below the root, and what they contain."""

_MIB = 1 << 20
_BUILDS_MIB, _OTHER_MIB = 4096, 512
_INFO, _DATA = "entry.json", "data"
_LARGEST_INFO = 1 << 20


# In years 1 and 9999, a local time can be outside the range of datetime.
_EARLIEST = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LATEST = datetime(9000, 1, 1, tzinfo=timezone.utc)


class _Info(StrictModel):
    """The content of ``entry.json``: the SHA-256 of each file by its path below the entry."""

    created: AwareDatetime = Field(ge=_EARLIEST, le=_LATEST)
    files: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """One entry. ``bytes``: size of its files; ``used``: when ``get`` last returned it."""

    key: str
    folder: Path
    created: datetime
    used: datetime
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Cache:
    """One folder of entries; the least recently used are removed if all exceed ``max_bytes``."""

    folder: Path
    max_bytes: int

    def get(self, key: str) -> CacheEntry | None:
        """Return an entry whose files all have their checksums; remove a damaged one."""
        path = self.folder / key
        if not path.exists():
            return None
        try:
            entry = _checked(path)
            os.utime(path)  # the time of use, for `_evict`
        except (OSError, ValueError, InputFileError):
            with contextlib.suppress(OSError):
                remove_folder(path)
            return None
        return entry

    def put(self, key: str, fill: Callable[[Path], object], *, replace: bool = False) -> None:
        """Add an entry, unless the key exists or the entry is larger than the whole cache.

        Args:
            key: a file name.
            fill: writes the files of the entry into an empty folder.
            replace: replace an existing entry of that key.

        Raises:
            OSError: the cache cannot be written.
        """
        path = self.folder / key
        if path.exists() and not replace:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with scratch_folder(self.folder) as scratch:
            fill(scratch)
            if _bytes(scratch) > self.max_bytes:
                return
            info = _Info(created=datetime.now(timezone.utc), files=_sums(scratch))
            (scratch / _INFO).write_text(info.model_dump_json() + "\n", "utf-8")
            if replace:
                put_in_place(scratch, path)
            else:
                _rename(scratch, path)
        self._evict()

    def read(self, key: str) -> bytes | None:
        """Return the data of an entry that :meth:`write` added."""
        entry = self.get(key)
        with contextlib.suppress(OSError):  # another process may have removed it since
            return (entry.folder / _DATA).read_bytes() if entry else None
        return None

    def write(self, key: str, data: bytes) -> None:
        """Add or replace an entry of one file. Errors are ignored: a cache is optional."""
        with contextlib.suppress(OSError):
            self.put(key, lambda folder: (folder / _DATA).write_bytes(data), replace=True)

    def entries(self) -> list[CacheEntry]:
        """Return all entries, the latest used first, without checking their files."""
        entries = []
        for path in self._paths():
            with contextlib.suppress(OSError, ValueError, InputFileError):
                entries.append(_entry(path, _info(path)))
        return sorted(entries, key=lambda entry: entry.used, reverse=True)

    def clear(self) -> int:
        """Remove everything; return the number of bytes."""
        size = _bytes(self.folder)
        for path in self._paths(with_scratch=True):
            with contextlib.suppress(OSError):  # another process removed it
                remove_folder(path)
        return size

    def _paths(self, *, with_scratch: bool = False) -> list[Path]:
        paths = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        return [path for path in paths if with_scratch or not is_scratch(path)]

    def _evict(self) -> None:
        """Remove least recently used entries until the rest fits.

        Scratch folders that are being written count too, but stay.
        """
        remove_abandoned(self.folder)
        entries, total = list[tuple[float, int, Path]](), 0
        for path in self._paths(with_scratch=True):
            with contextlib.suppress(OSError):
                size = _bytes(path)
                total += size
                if not is_scratch(path):
                    entries.append((path.stat().st_mtime, size, path))
        for _, size, path in sorted(entries):
            if total <= self.max_bytes:
                break
            with contextlib.suppress(OSError):
                remove_folder(path)
            total -= size


def cache_root() -> Path:
    """Return the user's cache folder: ``$XDG_CACHE_HOME/ocr-trt`` or ``~/.cache/ocr-trt``."""
    return user_cache_path("ocr-trt", appauthor=False)


def builds_limit() -> int:
    """Return how many bytes of bundles may be kept; 0: cache no bundles and no compiled plans.

    Raises:
        UserError: ``OCR_TRT_CACHE_MIB`` is not a number.
    """
    text = os.environ.get(VARIABLE, str(_BUILDS_MIB))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UserError(f"{VARIABLE}={text!r:.40}: expected the cache size in MiB, 0 for no cache")
    return int(text) * _MIB


def named_cache(name: str) -> Cache:
    """Return one of the user's caches; ``name`` is one of ``NAMES``."""
    limit = builds_limit() if name == "builds" else _OTHER_MIB * _MIB
    assert name in NAMES
    return Cache(folder=cache_root() / name, max_bytes=limit)


def key_from(facts: Any) -> str:
    """Return a key, 64 hexadecimal digits, that depends on all of ``facts`` (JSON data)."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _rename(scratch: Path, path: Path) -> None:
    """Give an entry its name; if another process added the same key first, its entry stays."""
    try:
        scratch.rename(path)
    except OSError:
        if not path.exists():
            raise


def _info(path: Path) -> _Info:
    return read_model(path / _INFO, _Info, limit=_LARGEST_INFO)


def _entry(path: Path, info: _Info) -> CacheEntry:
    # A file system can hold times outside the range of datetime.
    seconds = min(max(path.stat().st_mtime, _EARLIEST.timestamp()), _LATEST.timestamp())
    used = datetime.fromtimestamp(seconds, timezone.utc)
    return CacheEntry(
        key=path.name, folder=path, created=info.created, used=used, bytes=_bytes(path)
    )


def _checked(path: Path) -> CacheEntry:
    """Return an entry; raise InputFileError if a file is missing, added or changed."""
    info = _info(path)
    if _sums(path) != info.files:
        raise InputFileError(f"{path}: its files differ from those that were stored")
    return _entry(path, info)


def _sums(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of an entry except ``entry.json``.

    The hash of a link is "", so that a file that was replaced by a link counts as changed.
    """
    files = sorted(file for file in path.rglob("*") if file.is_symlink() or not file.is_dir())
    return {
        file.relative_to(path).as_posix(): "" if file.is_symlink() else file_sha256(file)
        for file in files
        if file != path / _INFO
    }


def _bytes(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another process removes it
            size += path.stat().st_size if path.is_file() else 0
    return size
