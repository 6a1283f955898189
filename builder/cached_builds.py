"""Reuse bundles from the build cache, and keep new ones in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..common.files import whole_folder
from ..common.progress import Reporter
from ..engines.build_cache import BuildCache
from ..engines.bundle import Bundle, own_files
from ..engines.target_groups import TargetGroup
from ..errors import OcrTrtError
from .cache_key import cache_keys, why_not_cached
from .request import BuildRequest, BuildResult
from .write import copy_bundle


class CachedBuilds:
    """The build cache for one request; empty if the request has no cache."""

    def __init__(
        self, request: BuildRequest, groups: Sequence[TargetGroup], reporter: Reporter
    ) -> None:
        self._request, self._reporter = request, reporter
        self._groups: list[TargetGroup] = []
        # Decided for each group, because one that cannot be cached must not exclude the others.
        for group in groups if request.cache else ():
            reasons = [why for each in group.members if (why := why_not_cached(request, each))]
            if not reasons:
                self._groups.append(group)
            else:
                reporter.note(f"{group.name}: the build cache is not used: {reasons[0]}")
        self._keys = dict[str, str]()
        if self._groups:
            with reporter.step("hash what the build depends on"):
                self._keys = cache_keys(request, self._groups)

    def take(self, group: TargetGroup) -> BuildResult | None:
        """Copy a cached bundle to the folder that a build would write; None if there is none."""
        cache, key = self._request.cache, self._keys.get(group.name)
        cached = cache.find(key) if cache and key else None
        if cached is None:
            return None
        target = cached.bundle.manifest.target  # of a comparison, the one that was chosen
        folder = self._request.bundle_folder(group.name)
        try:
            with whole_folder(folder, own_files) as scratch:
                bundle = copy_bundle(cached.bundle, self._request.spec, scratch, folder)
        except FileNotFoundError:  # another process removed it after it was found
            return None
        except OcrTrtError as error:
            return BuildResult(target=target, folder=folder, bundle=None, error=error)
        return BuildResult(target=target, folder=folder, bundle=bundle, measured=cached.built)

    def keep(self, results: Mapping[str, BuildResult]) -> None:
        """Keep new bundles in the cache, unless their inputs changed during the build.

        ``results``: by the name of the group.
        """
        built = {name: result.bundle for name, result in results.items() if result.bundle}
        groups = [group for group in self._groups if group.name in built]
        if self._request.cache is None or not groups:
            return
        # Hashed again: if a file changed during the build, it is unknown which version was built.
        keys = cache_keys(self._request, groups)
        for group in groups:
            key, bundle = keys[group.name], built[group.name]
            if key == self._keys[group.name]:
                self._put(self._request.cache, key, bundle)

    def _put(self, cache: BuildCache, key: str, bundle: Bundle) -> None:
        try:
            cache.keep(key, bundle)
        except OSError as error:  # the bundle is already in its folder, so the build succeeded
            reason = error.strerror or error
            self._reporter.note(f"not kept in the build cache {cache.folder}: {reason}")
