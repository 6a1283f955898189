"""Bundles in the build cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocr_trt.common.cache import VARIABLE
from ocr_trt.engines import build_cache
from ocr_trt.engines.build_cache import BuildCache, copy_files, default_cache
from ocr_trt.engines.bundle import Bundle, file_entry, load_bundle, write_manifest

from .test_bundle import make_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_bundle(make_bundle(tmp_path / "b"))


@pytest.fixture
def cache(tmp_path: Path) -> BuildCache:
    return BuildCache(folder=tmp_path / "cache", max_bytes=1 << 20)


def test_cached_bundle_equals_the_original(bundle: Bundle, cache: BuildCache) -> None:
    assert cache.find("a") is None
    cache.keep("a", bundle)
    cache.keep("a", bundle)
    cached = cache.find("a")
    assert cached is not None
    assert load_bundle(cached.bundle.folder).manifest == bundle.manifest
    (listed,) = cache.bundles()
    assert (listed.key, listed.built, listed.bytes) == ("a", cached.built, cached.bytes)
    assert cache.find("b") is None


@pytest.mark.parametrize("name", ["manifest.json", "plan_32.xml"])
def test_a_damaged_bundle_is_removed(name: str, bundle: Bundle, cache: BuildCache) -> None:
    cache.keep("a", bundle)
    path = cache.folder / "a" / "bundle" / name
    path.write_bytes(path.read_bytes() + b" ")
    assert cache.find("a") is None
    assert not (cache.folder / "a").exists()


def test_entry_that_is_not_a_bundle_is_removed(cache: BuildCache) -> None:
    cache.write("a", b"data")
    assert cache.bundles() == []
    assert cache.find("a") is None
    assert not (cache.folder / "a").exists()


def test_manifest_that_names_a_file_outside_is_refused(
    bundle: Bundle, cache: BuildCache, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("outside")
    outside = {**bundle.manifest.files, "../../../secret": file_entry(tmp_path / "secret")}
    forged = bundle.manifest.model_copy(update={"files": outside})

    def fill(folder: Path) -> None:
        copy_files(bundle, folder / "bundle")
        write_manifest(folder / "bundle", forged)

    cache.put("a", fill)
    assert cache.get("a") is not None
    assert cache.find("a") is None
    assert (tmp_path / "secret").exists()


def test_bundle_larger_than_the_cache_is_not_copied(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_cache, "copy_files", lambda *_: pytest.fail("copied"))
    cache = BuildCache(folder=tmp_path / "cache", max_bytes=100)
    cache.keep("a", bundle)
    assert cache.bundles() == []


def test_cache_can_be_disabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "3")
    assert default_cache() == BuildCache(folder=tmp_path / "ocr-trt" / "builds", max_bytes=3 << 20)
    monkeypatch.setenv(VARIABLE, "0")
    assert default_cache() is None
