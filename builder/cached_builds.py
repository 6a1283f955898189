"""Reuse bundles from the build cache, and keep new ones in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..common.files import whole_folder
from ..common.progress import Reporter
from ..engines.base import Backend
from ..engines.build_cache import BuildCache, CachedBundle, copy_files
from ..engines.bundle import Bundle, file_entry, own_files, write_manifest
from ..errors import OcrTrtError
from ..spec import with_max_batch
from .cache_key import cache_keys, why_not_cached
from .request import BuildRequest, BuildResult
from .write import SPEC_FILE, write_spec


class CachedBuilds:
    """The build cache for one request; empty if the request has no cache."""

    def __init__(
        self, request: BuildRequest, targets: Sequence[Backend], reporter: Reporter
    ) -> None:
        self._request, self._reporter = request, reporter
        self._targets: list[Backend] = []
        # Decided for each target, because one that cannot be cached must not exclude the others.
        for target in targets if request.cache else ():
            reason = why_not_cached(request, target)
            if reason is None:
                self._targets.append(target)
            else:
                reporter.note(f"{target.name}: the build cache is not used: {reason}")
        self._keys = dict[str, str]()
        if self._targets:
            with reporter.step("hash what the build depends on"):
                self._keys = cache_keys(request, self._targets)

    def take(self, target: Backend) -> BuildResult | None:
        """Copy a cached bundle to the folder that a build would write; None if there is none."""
        cache, key = self._request.cache, self._keys.get(target.name)
        cached = cache.find(key) if cache and key else None
        if cached is None:
            return None
        folder = self._request.bundle_folder(target)
        try:
            with whole_folder(folder, own_files) as scratch:
                bundle = self._copied(cached, scratch, folder)
        except FileNotFoundError:  # another process removed it after it was found
            return None
        except OcrTrtError as error:
            return BuildResult(target=target.name, folder=folder, bundle=None, error=error)
        return BuildResult(target=target.name, folder=folder, bundle=bundle, measured=cached.built)

    def _copied(self, cached: CachedBundle, scratch: Path, folder: Path) -> Bundle:
        """Copy a bundle. The spec is written again: its path to the model depends on the folder."""
        copy_files(cached.bundle, scratch)
        # Its largest batch may be smaller than requested (``Manifest.batch_limit``).
        max_batch = cached.bundle.spec.input.max_batch
        spec = write_spec(with_max_batch(self._request.spec, max_batch), scratch, folder)
        files = {**cached.bundle.manifest.files, SPEC_FILE: file_entry(scratch / SPEC_FILE)}
        manifest = cached.bundle.manifest.model_copy(update={"spec": spec, "files": files})
        write_manifest(scratch, manifest)
        return Bundle(folder=folder, manifest=manifest)

    def keep(self, results: Sequence[BuildResult]) -> None:
        """Keep new bundles in the cache, unless their inputs changed during the build."""
        built = {result.target: result.bundle for result in results if result.bundle}
        targets = [target for target in self._targets if target.name in built]
        if self._request.cache is None or not targets:
            return
        # Hashed again: if a file changed during the build, it is unknown which version was built.
        keys = cache_keys(self._request, targets)
        for target in targets:
            key, bundle = keys[target.name], built[target.name]
            if key == self._keys[target.name]:
                self._put(self._request.cache, key, bundle)

    def _put(self, cache: BuildCache, key: str, bundle: Bundle) -> None:
        try:
            cache.keep(key, bundle)
        except OSError as error:  # the bundle is already in its folder, so the build succeeded
            reason = error.strerror or error
            self._reporter.note(f"not kept in the build cache {cache.folder}: {reason}")
