"""The output folder: locked, not mixed with other files, and without results of dead processes."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocr_trt.batch.output_folder import JobRecord, OutputFolder
from ocr_trt.errors import OutputError

TASK = "{:05}-" + 32 * "a" + "_{:06}"


def write_result(folder: OutputFolder, task: int, errors: list[str | None], mark: str = "") -> str:
    """Write a result file and its checkpoint; a ``mark`` of ".pending" leaves it unfinished."""
    name = TASK.format(folder.run, task)
    ids = [f"{name}/{number}" for number in range(len(errors))]
    pages = [1] * len(ids)
    table = pa.table({"id": ids, "page": pages, "error": pa.array(errors, pa.string())})
    pq.write_table(table, folder.path / f"{name}-0.parquet")
    pq.write_table(table.select(["id"]), folder.checkpoints / f"{name}{mark}.parquet")
    return name


def test_only_committed_results_count(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path / "out") as folder:
        write_result(folder, 0, [None, "broken", None])
        write_result(folder, 1, [None], ".pending")
        counts = folder.counts({})
        assert (counts.images, counts.failed, counts.pages) == (3, 1, 3)
        assert folder.errors(5) == [(f"{TASK.format(1, 0)}/1", 1, "broken")]
        old = folder.checkpoints
    with OutputFolder.open(tmp_path / "out") as folder:
        assert folder.run == 2 and not old.exists()  # a task of the first run cannot commit
        assert len(list(folder.path.glob("*.parquet"))) == len(folder.committed()) == 1
        assert not list(folder.checkpoints.glob("*.pending.parquet"))
        # A task of the first run that lives longer than its driver.
        pq.write_table(pa.table({"id": ["x"]}), folder.path / f"{TASK.format(1, 7)}-0.parquet")
        assert folder.counts({}).images == 3
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 1


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        OutputFolder.open(tmp_path / "out"),
        pytest.raises(OutputError, match="another ocr-trt batch"),
        OutputFolder.open(tmp_path / "out"),
    ):
        pass


def test_other_files_are_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.parquet").touch()
    with pytest.raises(OutputError, match="did not write"), OutputFolder.open(tmp_path):
        pass
    with pytest.raises(OutputError, match="is not a folder"):
        with OutputFolder.open(tmp_path / "mine.parquet"):
            pass
    with OutputFolder.open(tmp_path / "out"):
        (tmp_path / "out" / "mine.parquet").touch()
    with OutputFolder.open(tmp_path / "out") as folder:
        assert folder.counts({}).images == 0
    assert (tmp_path / "out" / "mine.parquet").exists()


def test_same_job_only(tmp_path: Path) -> None:
    record = JobRecord(
        source="/images", content="", detector="1", recognizer="2", settings={"dpi": 200}
    )
    with OutputFolder.open(tmp_path / "out") as folder:
        folder.check_record(record)
        folder.check_record(record)
        for change, named in (
            ({"recognizer": "3"}, "recognizer"),
            ({"source": "/others", "settings": {"dpi": 300}}, "source, settings"),
        ):
            with pytest.raises(OutputError, match=f"differs in: {named};"):
                folder.check_record(record.model_copy(update=change))


def test_folder_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff")
    with (
        pytest.raises(OutputError, match=r"\\xff: the path is not UTF-8.*choose another"),
        OutputFolder.open(path),
    ):
        pass
    assert not path.exists()


@pytest.mark.parametrize("damage", ["empty", "truncated", "footer", "columns"])
def test_damaged_results_are_read_again(damage: str, tmp_path: Path) -> None:
    """Power failed: the checkpoint is on the disk, its result is not."""
    with OutputFolder.open(tmp_path / "out") as folder:
        names = [write_result(folder, number, [None] * 3) for number in range(2)]
    file = tmp_path / "out" / f"{names[0]}-0.parquet"
    data = file.read_bytes()
    if damage == "columns":
        pq.write_table(pa.table({"x": [1]}), file)
    else:
        parts = {"empty": b"", "truncated": data[:-9], "footer": data[:-60] + bytes(52) + data[-8:]}
        file.write_bytes(parts[damage])
    with OutputFolder.open(tmp_path / "out") as folder:
        assert [*folder.committed()] == [names[1]]
        assert not file.exists()
        assert not (folder.checkpoints / f"{names[0]}.parquet").exists()
        assert folder.counts({}).images == 3


def test_folders_in_the_place_of_files(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path / "out") as folder:
        name = write_result(folder, 0, [None])
        folder.index.mkdir()
        folder.attempts.rmdir()
        folder.attempts.touch()
    with OutputFolder.open(tmp_path / "out") as folder:
        assert not folder.index.exists()
        assert folder.attempts.is_dir()
    file = tmp_path / "out" / f"{name}-0.parquet"
    file.unlink()
    file.mkdir()
    with pytest.raises(OutputError, match="is not a file"), OutputFolder.open(tmp_path / "out"):
        pass
