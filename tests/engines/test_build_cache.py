"""The build cache as a store: what is whole stays, what is old goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocr_trt.engines.build_cache import VARIABLE, BuildCache, default_cache
from ocr_trt.engines.bundle import Bundle, load_bundle
from ocr_trt.errors import UserError

from .test_bundle import make_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_bundle(make_bundle(tmp_path / "b"))


def names(cache: BuildCache) -> list[str]:
    return sorted(path.name for path in cache.folder.iterdir())


def test_kept_bundle_is_found_and_what_is_not_there_is_not(bundle: Bundle, tmp_path: Path) -> None:
    cache = BuildCache(folder=tmp_path / "cache", most=1 << 20)
    assert cache.find("a") is None
    cache.keep("a", bundle)
    cache.keep("a", bundle)
    found = cache.find("a")
    assert found is not None
    assert found.bundle.manifest == bundle.manifest
    assert names(cache) == ["a"]
    assert cache.find("b") is None


@pytest.mark.parametrize("name", ["kept.json", "bundle/manifest.json", "bundle/plan_32.xml"])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_damaged_entry_is_removed(name: str, how: str, bundle: Bundle, tmp_path: Path) -> None:
    cache = BuildCache(folder=tmp_path / "cache", most=1 << 20)
    cache.keep("a", bundle)
    path = cache.folder / "a" / name
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes().replace(b"3", b"4").replace(b"n", b"m"))
    assert cache.find("a") is None
    assert names(cache) == []


def test_manifest_that_says_something_else_is_noticed(bundle: Bundle, tmp_path: Path) -> None:
    cache = BuildCache(folder=tmp_path / "cache", most=1 << 20)
    cache.keep("a", bundle)
    path = cache.folder / "a" / "bundle" / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"0" * 64, b"1" * 64))
    load_bundle(path.parent)  # it is as valid as before
    assert cache.find("a") is None
    assert names(cache) == []


def test_what_was_unused_for_longest_goes_first(bundle: Bundle, tmp_path: Path) -> None:
    probe = BuildCache(folder=tmp_path / "probe", most=1 << 20)
    probe.keep("a", bundle)
    (entry,) = probe.entries()
    cache = BuildCache(folder=tmp_path / "cache", most=int(2.5 * entry.bytes))
    for age, key in enumerate(("a", "b")):
        cache.keep(key, bundle)
        os.utime(cache.folder / key, (1000 + age, 1000 + age))
    assert cache.find("a") is not None  # used now
    cache.keep("c", bundle)
    assert names(cache) == ["a", "c"]
    assert [found.key for found in cache.entries()] == ["c", "a"]


def test_bundle_larger_than_the_cache_is_not_kept(bundle: Bundle, tmp_path: Path) -> None:
    cache = BuildCache(folder=tmp_path / "cache", most=100)
    cache.keep("a", bundle)
    assert cache.find("a") is None


def test_folder_of_a_stopped_process_is_removed_in_time(bundle: Bundle, tmp_path: Path) -> None:
    cache = BuildCache(folder=tmp_path / "cache", most=1 << 20)
    for name in (".ocr-trt-old", ".ocr-trt-new"):
        (cache.folder / name).mkdir(parents=True)
    os.utime(cache.folder / ".ocr-trt-old", (1000, 1000))
    cache.keep("a", bundle)
    assert names(cache) == [".ocr-trt-new", "a"]


def test_cleared_cache_is_empty(bundle: Bundle, tmp_path: Path) -> None:
    cache = BuildCache(folder=tmp_path / "cache", most=1 << 20)
    assert cache.clear() == 0
    cache.keep("a", bundle)
    (entry,) = cache.entries()
    assert cache.clear() == entry.bytes
    assert names(cache) == []


def test_cap_and_place_are_taken_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "3")
    expected = BuildCache(folder=tmp_path / "ocr-trt" / "builds", most=3 << 20)
    assert default_cache() == expected
    monkeypatch.setenv(VARIABLE, "0")
    assert default_cache() is None
    for wrong in ("", "-1", "4 GiB", "9" * 12, "\u0663"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(UserError, match="expected MiB"):
            default_cache()
    monkeypatch.delenv(VARIABLE)
    cache = default_cache()
    assert cache is not None
    assert cache.most == 4096 << 20
