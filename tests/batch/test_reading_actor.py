"""The actor of a batch without Ray: what becomes an error of an image, and what ends the job."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from ocr_trt.batch.attempts import Attempts
from ocr_trt.batch.pieces import ROW_SCHEMA
from ocr_trt.batch.reading_actor import ReaderOptions, ReadingActor
from ocr_trt.errors import EngineBuildError
from ocr_trt.pipeline.reader import ReadSettings
from tests.batch.conftest import write_images
from tests.readable_models import write_workplace


@pytest.fixture(scope="module")
def actor(tmp_path_factory: pytest.TempPathFactory) -> ReadingActor:
    folder = write_workplace(tmp_path_factory.mktemp("actor"))
    attempts = folder / "attempts"
    attempts.mkdir()
    options = ReaderOptions(
        detector=folder / "bundles" / "detector",
        recognizer=folder / "bundles" / "recognizer",
        threads=1,
        settings=ReadSettings(),
        is_trusted=False,
        has_polygons=False,
        folders=(folder,),
    )
    return ReadingActor(options, Attempts(folder=attempts))


def block_of(folder: Path) -> pa.Table:
    rows = [
        {"id": file.name, "path": bytes(file), "content": None} for file in sorted(folder.iterdir())
    ]
    return pa.Table.from_pylist(rows, schema=ROW_SCHEMA)


@pytest.mark.parametrize("count", [1, 3])
def test_images_that_all_fail_get_errors_if_the_reader_works(
    count: int, actor: ReadingActor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, block = actor._reader.read, block_of(write_images(tmp_path / "images", count))

    def breaking(image: object, **options: int) -> object:
        if not isinstance(image, bytes):  # the page that shows whether the reader works is bytes
            raise ZeroDivisionError("a bug that these images trigger")
        return read(image, **options)

    monkeypatch.setattr(actor._reader, "read", breaking)
    results = actor(block).to_pylist()
    assert [row["error_type"] for row in results] == ["ZeroDivisionError"] * count
    assert all("a bug that these images trigger" in row["error"] for row in results)


def test_reader_that_is_broken_ends_the_job(
    actor: ReadingActor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(*_: object, **__: object) -> None:
        raise EngineBuildError("the GPU is gone")

    monkeypatch.setattr(actor._reader, "read", breaking)
    with pytest.raises(EngineBuildError, match="the GPU is gone"):
        actor(block_of(write_images(tmp_path / "images", 1)))
