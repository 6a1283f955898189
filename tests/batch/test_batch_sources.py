"""What a job reads: folders, patterns, lists, single images, parquet."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocr_trt.batch import pieces
from ocr_trt.batch.job import BatchJob, _checked, _fingerprint
from ocr_trt.batch.sources import Inputs, SourceOptions, open_source
from ocr_trt.errors import InputFileError, UserError
from tests.batch.conftest import write_images


def opened(source: object, tmp_path: Path, **options: Any) -> Inputs:
    return open_source(str(source), SourceOptions(**options), tmp_path / "index.parquet")


def rows_of(inputs: Inputs) -> list[dict[str, Any]]:
    tables = [
        table
        for piece in inputs.pieces
        for table in pieces.read_piece(piece, inputs.columns, inputs.root)
    ]
    rows = pa.concat_tables(tables).to_pylist()
    assert len(rows) == inputs.total
    return rows


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = write_images(tmp_path / "images", 3)
    (folder / "below").mkdir()
    (folder / "0000.png").rename(folder / "below" / "a.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_folder(images: Path, tmp_path: Path) -> None:
    inputs = opened(images, tmp_path)
    assert [row["id"] for row in rows_of(inputs)] == ["0001.png", "0002.png"]
    assert rows_of(inputs)[0]["path"] == os.fsencode(images / "0001.png")
    assert any("notes.txt" in note for note in inputs.notes)
    inputs = opened(images, tmp_path, recursive=True)
    assert sorted(row["id"] for row in rows_of(inputs)) == ["0001.png", "0002.png", "below/a.png"]


def test_pattern(images: Path, tmp_path: Path) -> None:
    rows = rows_of(opened(f"{images}/**/*.png", tmp_path))
    paths = [str(images / name) for name in ("0001.png", "0002.png", "below/a.png")]
    assert [row["id"] for row in rows] == paths
    with pytest.raises(InputFileError, match="no file matches"):
        opened(f"{images}/*.gif", tmp_path)


def test_folder_whose_name_looks_like_a_pattern(images: Path, tmp_path: Path) -> None:
    folder = images.rename(tmp_path / "scans [2024]")
    assert len(rows_of(opened(folder, tmp_path))) == 2


def test_list(images: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    name = b"images/\xff.png"
    lines = [b"images/0001.png", bytes(images / "0002.png"), b"", name, b"images/0001.png", b" x"]
    listed.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    inputs = opened(listed, tmp_path)
    rows = rows_of(inputs)
    expected = ["images/0001.png", str(images / "0002.png"), "images/\\xff.png", " x"]
    assert [row["id"] for row in rows] == expected
    assert rows[2]["path"] == bytes(tmp_path) + b"/" + name
    assert inputs.notes == ("left out: 1 path that occurs earlier in the list",)


def test_names_that_look_like_escaped_bytes(images: Path, tmp_path: Path) -> None:
    names = [b"\xff.png", b"\\xff.png", b"\\\\xff.png", b"\\\xff.png", b"\\a.png", b"\\\\a.png"]
    for name in names:
        (images / os.fsdecode(name)).write_bytes((images / "0001.png").read_bytes())
    rows = {row["path"].rpartition(b"/")[2]: row["id"] for row in rows_of(opened(images, tmp_path))}
    assert set(names) < set(rows)
    assert len(set(rows.values())) == len(rows)
    assert (rows[b"\xff.png"], rows[b"\\xff.png"]) == (r"\xff.png", r"\\xff.png")
    assert rows[b"\\a.png"] == r"\a.png"  # cannot be taken for another name


def test_single_image_and_other_files(images: Path, tmp_path: Path) -> None:
    assert [row["id"] for row in rows_of(opened(images / "0001.png", tmp_path))] == ["0001.png"]
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputFileError, match="names no images"):
        opened(tmp_path / "empty.txt", tmp_path)
    (tmp_path / "model.bin").write_bytes(b"\x00\x01" * 99)
    with pytest.raises(InputFileError, match=r"neither an image nor parquet nor a list"):
        opened(tmp_path / "model.bin", tmp_path)
    with pytest.raises(InputFileError, match="no such file"):
        opened(tmp_path / "nothing", tmp_path)
    with pytest.raises(InputFileError, match="not a regular file"):
        opened("/dev/null", tmp_path)


def test_columns_of_parquet_files(tmp_path: Path) -> None:
    content = [b"first", None, b"third"]
    both = [{"bytes": b"first", "path": None}, None, {"bytes": None, "path": "c.png"}]
    paths = pa.array(["a.png", "/b.png", None])
    named = [(str(tmp_path / "data/a.png"), None), ("/b.png", None), (None, None)]
    for column, expected in (
        (paths, named),
        (paths.dictionary_encode(), named),
        (pa.array(content), [(None, b"first"), (None, None), (None, b"third")]),
        (pa.array(both), [(None, b"first"), (None, None), (str(tmp_path / "data/c.png"), None)]),
    ):
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        # Two row groups; the number of a row counts from the beginning of the file.
        pq.write_table(
            pa.table({"n": [7, 8, 9], "x": column}), folder / "1.parquet", row_group_size=2
        )
        for source in (folder, folder / "1.parquet", folder / "*.parquet"):
            rows = rows_of(opened(source, tmp_path))
            found = [(r["path"] and os.fsdecode(r["path"]), r["content"]) for r in rows]
            assert found == expected
            assert [row["id"] for row in rows] == ["1.parquet:0", "1.parquet:1", "1.parquet:2"]
        rows = rows_of(opened(folder, tmp_path, id_column="n", column="x"))
        assert [row["id"] for row in rows] == ["7", "8", "9"]


def test_large_row_group_is_several_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_LARGEST", 10_000)
    monkeypatch.setattr(pieces, "_ROWS", 3)
    contents = [os.urandom(1000) for _ in range(50)]
    pq.write_table(pa.table({"x": contents}), tmp_path / "x.parquet")
    inputs = opened(tmp_path / "x.parquet", tmp_path)
    assert len(inputs.pieces) > 4
    rows = rows_of(inputs)
    assert [row["content"] for row in rows] == contents
    assert [row["id"] for row in rows] == [f"x.parquet:{number}" for number in range(50)]


def test_columns_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": ["x"], "b": ["y"], "n": [1.5]}), file)
    with pytest.raises(UserError, match=r"a, b may contain images.*--column"):
        opened(file, tmp_path)
    with pytest.raises(UserError, match="no column 'aa'; did you mean a"):
        opened(file, tmp_path, column="aa")
    with pytest.raises(UserError, match="n has the type double; expected string"):
        opened(file, tmp_path, column="n")
    pq.write_table(pa.table({"n": [1]}), file)
    with pytest.raises(UserError, match=r"no column contains.*n \(int64\)"):
        opened(file, tmp_path)
    pq.write_table(pa.table({"id": [1, 2, 1], "x": ["a", "b", "c"]}), file)
    with pytest.raises(UserError, match="not unique: '1'"):
        opened(file, tmp_path, id_column="id")
    pq.write_table(pa.table({"id": [1, None], "x": ["a", "b"]}), file)
    with pytest.raises(UserError, match="1 rows without an id"):
        opened(file, tmp_path, id_column="id")
    pq.write_table(pa.table({"x": pa.array([], pa.string())}), file)
    with pytest.raises(InputFileError, match="contains no rows"):
        opened(file, tmp_path)
    file.write_bytes(b"PAR1 damaged")
    with pytest.raises(InputFileError, match="cannot be read as parquet"):
        opened(file, tmp_path)
    with pytest.raises(UserError, match="is not parquet, but --column"):
        opened(write_images(tmp_path / "images", 1), tmp_path, column="x")


def test_files_with_columns_of_different_kinds(tmp_path: Path) -> None:
    # The bytes of an image would be taken for a path, or a path for the bytes of an image.
    folder = tmp_path / "data"
    folder.mkdir()
    pq.write_table(pa.table({"x": ["a.png"]}), folder / "1.parquet")
    pq.write_table(pa.table({"x": pa.array(["b.png"], pa.large_string())}), folder / "2.parquet")
    assert opened(folder, tmp_path).total == 2
    pq.write_table(pa.table({"x": [b"content"]}), folder / "2.parquet")
    with pytest.raises(UserError, match=r"2\.parquet.*x has the type binary, but string in .*1\."):
        opened(folder, tmp_path)
    pq.write_table(pa.table({"x": [1]}), folder / "2.parquet")
    with pytest.raises(UserError, match=r"2\.parquet: the column x has the type int64"):
        opened(folder, tmp_path)


@pytest.mark.parametrize("ids", [[[1]], [{"a": 1}], [b"\xff"]], ids=["list", "struct", "bytes"])
def test_ids_that_are_no_text(ids: list[object], tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"k": ids, "x": ["a.png"]}), file)
    with pytest.raises(UserError, match=r"the id column k has the type .*--id-column"):
        opened(file, tmp_path, column="x", id_column="k")


def test_changed_rows_are_another_job(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"

    def fingerprint(*contents: bytes) -> str:
        pq.write_table(pa.table({"x": contents}), file)
        inputs = opened(file, tmp_path)
        job = BatchJob(
            source=str(file), output=tmp_path / "out", detector=None, recognizer=tmp_path
        )
        return _fingerprint(inputs, job)

    first = fingerprint(b"one", b"two")
    assert fingerprint(b"one", b"two") == first
    assert fingerprint(b"one", b"twelve") != first
    assert fingerprint(b"one") != first


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    inputs = opened(write_images(folder, 1), tmp_path)
    assert [row["id"] for row in rows_of(inputs)] == ["0000.png"]
    pq.write_table(pa.table({"x": ["a.png"]}), tmp_path / "x.parquet")
    file = (tmp_path / "x.parquet").rename(folder / "x.parquet")
    with pytest.raises(InputFileError, match=r"\\xff/x\.parquet: .*UTF-8; rename"):
        opened(file, tmp_path)


def test_record_of_a_source_that_is_not_utf8(tmp_path: Path, engines: tuple[object, ...]) -> None:
    _, detector, _, recognizer = engines
    job = BatchJob(
        source=str(tmp_path / os.fsdecode(b"\xff")), output=tmp_path / "out",
        detector=Path(str(detector)), recognizer=Path(str(recognizer)),
    )  # fmt: skip
    record = _checked(job).record
    assert json.loads(record.model_dump_json())["source"].endswith("\\xff")


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    """Writers of parquet do not check it, and reading it ended the job."""
    bounds, data = np.array([0, 2, 4], np.int32), b"a\xffb\xfe"
    text = pa.StringArray.from_buffers(2, pa.py_buffer(bounds), pa.py_buffer(data))
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": text, "k": text}), file)
    rows = rows_of(opened(file, tmp_path, column="x"))
    assert [row["path"] for row in rows] == [
        bytes(tmp_path) + b"/a\xff",
        bytes(tmp_path) + b"/b\xfe",
    ]
    with pytest.raises(UserError, match=r"the id column k .*UTF.?8"):
        opened(file, tmp_path, column="x", id_column="k")
