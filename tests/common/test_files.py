"""Output is written completely or not at all, and replaces only files that ocr-trt wrote."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocr_trt.common import replace
from ocr_trt.common.cache import Cache
from ocr_trt.common.files import (
    check_destination,
    check_file_destination,
    file_sha256,
    whole_folder,
    write_whole,
)
from ocr_trt.errors import OutputError

FILES = {"a", "deep/b"}


def own_files(_: Path) -> set[str]:
    return FILES


def make(folder: Path, content: str = "old") -> None:
    with whole_folder(folder, own_files) as scratch:
        (scratch / "deep").mkdir()
        for name in FILES:
            (scratch / name).write_text(content)


def contents(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*[ab]")
            if p.is_file()}  # fmt: skip


def test_folder_is_replaced_completely(tmp_path: Path) -> None:
    make(tmp_path / "out")
    make(tmp_path / "out", "new")
    assert contents(tmp_path / "out") == {"a": "new", "deep/b": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("bug"), OSError(errno.EIO, "x")])
def test_interrupted_writing_leaves_nothing(tmp_path: Path, error: Any) -> None:
    make(tmp_path / "out")
    with pytest.raises((KeyboardInterrupt, RuntimeError, OSError)):
        with whole_folder(tmp_path / "out", own_files) as scratch:
            (scratch / "half").write_text("x")
            raise error
    assert contents(tmp_path / "out") == {"a": "old", "deep/b": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.fixture(params=[True, False], ids=["exchange", "two renames"])
def _can_exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(replace, "_renameat2", lambda: None)


@pytest.mark.usefixtures("_can_exchange")
def test_older_folder_is_replaced(tmp_path: Path) -> None:
    for content in ("old", "new", "newer"):
        make(tmp_path / "out", content)
        assert contents(tmp_path / "out") == {"a": content, "deep/b": content}
        assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("moment", [1, 2, 3], ids=["before", "between", "after"])
def test_interrupt_between_two_renames_loses_nothing(
    tmp_path: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replace, "_renameat2", lambda: None)
    make(tmp_path / "out")
    real, calls = Path.replace, list[int]()

    def interrupted(self: Path, target: Any) -> Path:
        calls.append(1)
        if len(calls) == moment:
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    if moment < 3:
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "out", "new")
    else:
        make(tmp_path / "out", "new")
    expected = "old" if moment < 3 else "new"
    assert contents(tmp_path / "out") == {"a": expected, "deep/b": expected}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EFBIG, "the disk is full"),
        (errno.EROFS, "cannot be written"),
    ],
)
def test_disk_errors_are_explained(tmp_path: Path, number: int, message: str) -> None:
    with pytest.raises(OutputError, match=message):
        with whole_folder(tmp_path / "out", own_files) as scratch:
            (scratch / "half").write_text("x")
            raise OSError(number, os.strerror(number))
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the disk is full"):
        with whole_folder(tmp_path / "out", own_files) as scratch:
            (scratch / "plan").symlink_to("/dev/full")
            (scratch / "plan").write_bytes(b"x" * 100)
    assert list(tmp_path.iterdir()) == []


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("x")


def ours_and_more(path: Path) -> None:
    make(path)
    (path / "deep" / "thesis.txt").write_text("x")


@pytest.mark.parametrize(
    "there",
    [
        a_folder,
        ours_and_more,
        lambda path: path.write_text("x"),
        lambda path: path.symlink_to(path.parent),
        lambda path: path.symlink_to("nowhere"),
    ],
    ids=["a folder", "ours and more", "a file", "a link", "a dangling link"],
)
def test_foreign_files_are_not_replaced(tmp_path: Path, there: Callable[[Path], Any]) -> None:
    there(tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match="nothing was written"):
        check_destination(tmp_path / "out", own_files)
    assert sorted(tmp_path.rglob("*")) == before


def test_unwritable_parent_is_reported_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file" / "sub" / "out", Path("/proc/nothing/out")):
        with pytest.raises(OutputError, match="cannot be written"):
            check_destination(folder, own_files)
    with pytest.raises(OutputError, match="cannot be written"):
        check_destination(tmp_path / ("x" * 300), own_files)


@pytest.mark.parametrize("place", [".", "out"])
def test_current_folder_can_be_replaced(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    make(Path(place))
    assert contents(tmp_path / "here" / place) == {"a": "old", "deep/b": "old"}


def test_long_names_can_be_written(tmp_path: Path) -> None:
    write_whole(tmp_path / ("\u5b57" * 82 + ".png"), b"x")
    make(tmp_path / ("\u5b57" * 84))


def test_file_is_not_written_where_a_folder_is(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder; name a file"):
        check_file_destination(tmp_path)


def test_file_is_replaced_completely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "spec.yaml"
    write_whole(path, "old")
    write_whole(path, b"new")
    assert path.read_text() == "new"

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_whole(path, "newer")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_file_added_during_a_build_is_not_removed(tmp_path: Path) -> None:
    make(tmp_path / "out")
    with pytest.raises(OutputError, match="thesis"):
        with whole_folder(tmp_path / "out", own_files):
            (tmp_path / "out" / "thesis.txt").write_text("x")
    assert (tmp_path / "out" / "thesis.txt").exists()
    assert contents(tmp_path / "out") == {"a": "old", "deep/b": "old"}


WAITING = """
import sys, time
from pathlib import Path
from ocr_trt.common.files import whole_folder
with whole_folder(Path(sys.argv[1]), lambda _: ("a",)) as scratch:
    (scratch / "a").write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""


def waiting_writer(folder: Path) -> subprocess.Popen[str]:
    """Start a process that has written a half of ``folder``."""
    command = [sys.executable, "-c", WAITING, str(folder)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    return writer


def test_scratch_of_a_killed_process_is_removed_and_of_a_running_one_stays(tmp_path: Path) -> None:
    killed, running = waiting_writer(tmp_path / "out"), waiting_writer(tmp_path / "out")
    try:
        killed.kill()
        assert killed.wait() == -signal.SIGKILL
        assert len(list(tmp_path.iterdir())) == 2
        make(tmp_path / "out")
        scratch = {path.name for path in tmp_path.iterdir()} - {"out"}
        assert len(scratch) == 1, "that of the running process"
        assert (tmp_path / scratch.pop() / "new" / "a").read_text() == "half"
    finally:
        running.kill()
        running.wait()
    (tmp_path / ".ocr-trt-notes.txt").touch()  # not a name that this program gives
    make(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".ocr-trt-notes.txt"}


def test_readers_and_writers_at_once_see_a_whole_folder(tmp_path: Path) -> None:
    out, stop, wrong = tmp_path / "out", threading.Event(), list[str]()
    make(out)

    def read() -> None:
        while not stop.is_set():
            try:
                (out / "a").read_text()
            except OSError as error:
                wrong.append(str(error))

    def write() -> None:
        try:
            for _ in range(40):
                make(out)
        except Exception as error:
            wrong.append(repr(error))

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write) for _ in range(3)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert wrong == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_pipe_is_not_hashed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        file_sha256(tmp_path / "pipe")


@pytest.mark.parametrize("place", ["entry.json", "data", ""])
def test_pipe_in_a_cache_is_no_entry(tmp_path: Path, place: str) -> None:
    cache = Cache(folder=tmp_path, max_bytes=2000)
    cache.write("key", b"x")
    path = tmp_path / "key" / place
    if place:
        path.unlink()
    else:
        path = tmp_path / "other"
    os.mkfifo(path)
    assert cache.read(path.name if not place else "key") is None
    cache.write("key", b"y")
    assert cache.read("key") == b"y"
    assert [entry.key for entry in cache.entries()] == ["key"]


def test_killed_cache_writes_count_and_are_removed(tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path / "c", max_bytes=2000)
    folder = tmp_path / "c" / ".ocr-trt-abcdefgh"
    folder.mkdir(parents=True)
    (folder / "half").write_bytes(b"x" * 1000)
    cache.write("c", b"x")
    assert not folder.exists()
