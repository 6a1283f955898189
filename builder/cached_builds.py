"""Builds that need not be done: their bundles are in the build cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..common.files import whole_folder
from ..common.progress import Reporter
from ..engines.base import Backend
from ..engines.build_cache import BuildCache, CachedBundle, copy_files
from ..engines.bundle import Bundle, file_entry, own_files, write_manifest
from ..errors import OcrTrtError
from ..spec import dump_spec, spec_beside
from .cache_key import cache_keys, why_not_cached
from .request import BuildRequest, BuildResult

SPEC = "spec.yaml"
"""In a bundle: the spec with the way to the model from there."""


class CachedBuilds:
    """The build cache as one request sees it; without a cache it holds nothing."""

    def __init__(
        self, request: BuildRequest, targets: Sequence[Backend], reporter: Reporter
    ) -> None:
        self._request, self._reporter = request, reporter
        self._targets: list[Backend] = []
        for target in targets if request.cache else ():
            reason = why_not_cached(request, target)
            if reason is None:
                self._targets.append(target)
            else:
                reporter.note(f"{target.name}: not taken from the build cache: {reason}")
        with reporter.step("hash what the build depends on"):
            self._keys = cache_keys(request, self._targets) if self._targets else {}

    def take(self, target: Backend, folder: Path) -> BuildResult | None:
        """Put a kept bundle into ``folder``, as a build would; None if there is none."""
        cache, key = self._request.cache, self._keys.get(target.name)
        found = cache.find(key) if cache and key else None
        if found is None:
            return None
        try:
            with whole_folder(folder, own_files(folder)) as scratch:
                bundle = self._unpacked(found, scratch, folder)
        except FileNotFoundError:  # another process has just removed it
            return None
        except OcrTrtError as error:
            return BuildResult(target=target.name, folder=folder, bundle=None, error=error)
        return BuildResult(target=target.name, folder=folder, bundle=bundle, measured=found.built)

    def _unpacked(self, found: CachedBundle, scratch: Path, folder: Path) -> Bundle:
        """Copy a bundle; only the way from it to its model is another one."""
        copy_files(found.bundle, scratch)
        spec = spec_beside(self._request.spec, folder)
        (scratch / SPEC).write_text(dump_spec(spec), "utf-8")
        files = {**found.bundle.manifest.files, SPEC: file_entry(scratch / SPEC)}
        manifest = found.bundle.manifest.model_copy(update={"spec": spec, "files": files})
        write_manifest(scratch, manifest)
        return Bundle(folder=folder, manifest=manifest)

    def keep(self, results: Sequence[BuildResult]) -> None:
        """Keep bundles that were built, if what they depend on is still what it was."""
        built = {result.target: result.bundle for result in results if result.bundle}
        targets = [target for target in self._targets if target.name in built]
        if self._request.cache is None or not targets:
            return
        keys = cache_keys(self._request, targets)
        for target in targets:
            key, bundle = keys[target.name], built[target.name]
            if key == self._keys[target.name]:
                self._put(self._request.cache, key, bundle)

    def _put(self, cache: BuildCache, key: str, bundle: Bundle) -> None:
        try:
            cache.keep(key, bundle)
        except OSError as error:  # the build itself is done
            reason = error.strerror or error
            self._reporter.note(f"not kept in the build cache {cache.folder}: {reason}")
