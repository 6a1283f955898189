"""Finished bundles in the cache, by the hash of everything that their build depends on."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..common.cache import Cache, CacheEntry, named_cache
from ..common.files import remove_folder
from ..errors import InputFileError
from .bundle import Bundle, load_bundle
from .manifest import NAME, read_manifest

_FOLDER = "bundle"
"""The bundle's folder below an entry."""


@dataclass(frozen=True, kw_only=True)
class CachedBundle:
    """A bundle in the cache. ``built``: when its verdict was measured."""

    key: str
    bundle: Bundle
    built: datetime
    used: datetime
    bytes: int


@dataclass(frozen=True, kw_only=True)
class BuildCache(Cache):
    """A cache of bundles."""

    def find(self, key: str) -> CachedBundle | None:
        """Return the bundle of a key after checking all files; an invalid entry is removed."""
        entry = self.get(key)
        if entry is None:
            return None
        try:
            return _cached(entry, load_bundle(entry.folder / _FOLDER))
        except (InputFileError, OSError):
            with contextlib.suppress(OSError):  # another process may have removed it
                remove_folder(entry.folder)
            return None

    def keep(self, key: str, bundle: Bundle) -> None:
        """Keep a copy of a bundle, unless it is larger than the whole cache.

        Raises:
            OSError: the cache cannot be written.
        """
        names = (NAME, *bundle.manifest.files)
        if sum(bundle.path(name).stat().st_size for name in names) <= self.max_bytes:
            self.put(key, lambda folder: copy_files(bundle, folder / _FOLDER))

    def bundles(self) -> list[CachedBundle]:
        """Return all bundles, the latest used first; only their manifests are read."""
        bundles = []
        for entry in self.entries():
            with contextlib.suppress(InputFileError):
                folder = entry.folder / _FOLDER
                manifest = read_manifest(folder)
                bundles.append(_cached(entry, Bundle(folder=folder, manifest=manifest)))
        return bundles


def _cached(entry: CacheEntry, bundle: Bundle) -> CachedBundle:
    return CachedBundle(
        key=entry.key,
        bundle=bundle,
        built=entry.created,
        used=entry.used,
        bytes=entry.bytes,
    )


def default_cache() -> BuildCache | None:
    """Return the user's cache; None if it is disabled.

    Raises:
        UserError: ``OCR_TRT_CACHE_MIB`` is not a number.
    """
    cache = named_cache("builds")  # max_bytes 0: the user disabled it
    return BuildCache(folder=cache.folder, max_bytes=cache.max_bytes) if cache.max_bytes else None


def copy_files(bundle: Bundle, folder: Path) -> None:
    """Copy a bundle's files. They are not linked, so that an edit of one copy changes no other.

    Raises:
        OSError: a file cannot be read or written.
    """
    for name in (NAME, *bundle.manifest.files):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path(name), target)
