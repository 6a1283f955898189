"""The cache: whole entries or none, damage, age, size, and nothing outside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocr_trt.common.cache import (
    NAMES,
    VARIABLE,
    Cache,
    builds_limit,
    cache_root,
    key_from,
    named_cache,
)
from ocr_trt.common.scratch import scratch_folder
from ocr_trt.errors import UserError

MIB = 1 << 20


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(folder=tmp_path / "cache", max_bytes=MIB)


def names(cache: Cache) -> list[str]:
    return sorted(path.name for path in cache.folder.iterdir())


def two_files(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "one").write_bytes(b"1")
    (folder / "inner" / "two").write_bytes(b"22")


def test_written_data_is_read_back(cache: Cache) -> None:
    assert cache.read("a") is None
    assert not cache.folder.exists(), "looking makes no folder"
    cache.write("a", b"first")
    cache.write("a", b"second")
    assert cache.read("a") == b"second"
    assert cache.read("b") is None
    assert names(cache) == ["a"]


def test_existing_entry_stays_unless_replaced(cache: Cache) -> None:
    cache.put("a", lambda folder: (folder / "x").write_text("first"))
    cache.put("a", lambda folder: (folder / "x").write_text("second"))
    entry = cache.get("a")
    assert entry is not None
    assert (entry.folder / "x").read_text() == "first"
    cache.put("a", lambda folder: (folder / "x").write_text("third"), replace=True)
    assert (entry.folder / "x").read_text() == "third"
    assert names(cache) == ["a"]


@pytest.mark.parametrize("name", ["entry.json", "one", "inner/two"])
@pytest.mark.parametrize("how", ["changed", "cut off", "missing", "a link", "one too many"])
def test_damaged_entry_is_removed_and_nothing_outside(
    name: str, how: str, cache: Cache, tmp_path: Path
) -> None:
    cache.put("a", two_files)
    assert cache.get("a") is not None
    path, outside = cache.folder / "a" / name, tmp_path / "outside"
    data = path.read_bytes()
    outside.write_bytes(data)
    if how in ("missing", "a link"):
        path.unlink()
    if how == "a link":
        path.symlink_to(outside)
    elif how == "one too many":
        path.with_name("more").write_bytes(b"")
    elif how != "missing":
        path.write_bytes(data[:-1] + (b"?" if how == "changed" else b""))
    if (name, how) == ("entry.json", "a link"):
        return  # its content is what counts
    if name == "entry.json" and how in ("changed", "cut off"):
        path.write_bytes(data[:-9] + b"?" * 9)  # its last byte is a line break
    assert cache.get("a") is None
    assert names(cache) == []
    assert outside.read_bytes() == data


def test_least_recently_used_entries_are_removed_first(tmp_path: Path) -> None:
    probe = Cache(folder=tmp_path / "probe", max_bytes=MIB)
    probe.write("a", bytes(1000))
    (entry,) = probe.entries()
    cache = Cache(folder=tmp_path / "cache", max_bytes=int(2.5 * entry.bytes))
    for age, key in enumerate(("a", "b")):
        cache.write(key, bytes(1000))
        os.utime(cache.folder / key, (1000 + age, 1000 + age))
    assert cache.read("a") is not None, "used now"
    cache.write("c", bytes(1000))
    assert names(cache) == ["a", "c"]
    assert [entry.key for entry in cache.entries()] == ["c", "a"]


def test_entry_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path, max_bytes=100)
    cache.write("a", bytes(101))
    assert names(cache) == []


def test_entry_counts_with_scratch_that_is_being_written(tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path, max_bytes=2500)
    cache.write("a", bytes(1000))
    with scratch_folder(tmp_path) as scratch:
        (scratch / "half").write_bytes(bytes(1000))
        cache.write("b", bytes(1000))
        assert "a" not in names(cache)
        assert (scratch / "half").exists(), "its process is alive"
    assert names(cache) == ["b"]


def test_failed_entry_leaves_nothing(cache: Cache) -> None:
    def fail(folder: Path) -> None:
        (folder / "x").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.put("a", fail)
    assert names(cache) == []


def test_unwritable_cache_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(folder=tmp_path / "file" / "cache", max_bytes=MIB)
    cache.write("a", b"1")
    assert cache.read("a") is None
    assert cache.entries() == []
    assert cache.clear() == 0
    with pytest.raises(OSError, match="Not a directory"):
        cache.put("a", two_files)


def test_clear_does_not_follow_links(cache: Cache, tmp_path: Path) -> None:
    assert cache.clear() == 0
    cache.put("a", two_files)
    (entry,) = cache.entries()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("stays")
    (cache.folder / "b").symlink_to(tmp_path / "outside")
    assert cache.clear() == entry.bytes
    assert names(cache) == []
    assert (tmp_path / "outside" / "file").read_text() == "stays"


WRITER = """
import sys
from pathlib import Path
from ocr_trt.common.scratch import scratch_folder
from ocr_trt.common.cache import Cache
cache = Cache(folder=Path(sys.argv[1]), max_bytes=1 << 20)
for number in range(40):
    data = bytes([number]) * 5000
    cache.write("a", data)
    found = cache.read("a")
    assert found is None or len(found) == 5000 and len(set(found)) == 1, len(found)
"""


def test_two_processes_never_see_an_incomplete_entry(cache: Cache) -> None:
    command = [sys.executable, "-c", WRITER, str(cache.folder)]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for child in children:
        assert child.wait(60) == 0, child.stderr and child.stderr.read().decode()
    assert [name for name in names(cache) if name != "a"] == []


def test_folder_and_size_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "3")
    assert cache_root() == tmp_path / "ocr-trt"
    assert named_cache("builds") == Cache(folder=tmp_path / "ocr-trt" / "builds", max_bytes=3 * MIB)
    assert {named_cache(name).max_bytes for name in NAMES if name != "builds"} == {512 * MIB}
    monkeypatch.setenv(VARIABLE, "0")
    assert builds_limit() == 0
    for wrong in ("", "-1", "4 GiB", "9" * 12, "\u0663"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(UserError, match=f"{VARIABLE}=.*expected .*MiB"):
            builds_limit()
    monkeypatch.delenv(VARIABLE)
    assert builds_limit() == 4096 * MIB


def test_keys_depend_on_the_facts_and_not_on_their_order() -> None:
    assert key_from({"a": 1, "b": [2, "\udcff"]}) == key_from({"b": [2, "\udcff"], "a": 1})
    assert key_from({"a": 1}) != key_from({"a": "1"})
    assert len(key_from([])) == 64


@pytest.mark.parametrize("created", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01"])
def test_entry_of_an_impossible_date_is_removed(created: str, tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path, max_bytes=1000)
    cache.write("key", b"data")
    (tmp_path / "key" / "entry.json").write_text(json.dumps({"created": created, "files": {}}))
    assert cache.entries() == []
    assert cache.read("key") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seconds", [-(10**11), -1, 10**11, 2**34 - 1])
def test_entry_of_an_odd_file_time_is_used(seconds: int, tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path, max_bytes=1000)
    cache.write("key", b"data")
    os.utime(tmp_path / "key", (seconds, seconds))
    (entry,) = cache.entries()
    assert 1970 <= entry.used.year <= 9000
    assert cache.read("key") == b"data"
