"""Output is written completely or not at all, and replaces only files that ocr-trt wrote."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocr_trt.common.files import (
    check_destination,
    check_file_destination,
    whole_folder,
    write_whole,
)
from ocr_trt.errors import OutputError

OWN = {"a", "deep/b"}


def make(folder: Path, content: str = "old") -> None:
    with whole_folder(folder, OWN) as scratch:
        (scratch / "deep").mkdir()
        for name in OWN:
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
        with whole_folder(tmp_path / "out", OWN) as scratch:
            (scratch / "half").write_text("x")
            raise error
    assert contents(tmp_path / "out") == {"a": "old", "deep/b": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("moment", [1, 2, 3], ids=["before", "between", "after"])
def test_interrupt_during_the_exchange_of_folders_loses_nothing(
    tmp_path: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        with whole_folder(tmp_path / "out", OWN) as scratch:
            (scratch / "half").write_text("x")
            raise OSError(number, os.strerror(number))
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the disk is full"):
        with whole_folder(tmp_path / "out", OWN) as scratch:
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
        check_destination(tmp_path / "out", OWN)
    assert sorted(tmp_path.rglob("*")) == before


def test_unwritable_parent_is_reported_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file" / "sub" / "out", Path("/proc/nothing/out")):
        with pytest.raises(OutputError, match="cannot be written"):
            check_destination(folder, OWN)
    with pytest.raises(OutputError, match="cannot be written"):
        check_destination(tmp_path / ("x" * 300), OWN)


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
