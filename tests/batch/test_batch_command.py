"""``ocr-trt batch`` with a real Ray."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from ocr_trt.batch.table_schema import result_schema
from ocr_trt.common.scratch import is_scratch
from tests.batch import program
from tests.batch.conftest import write_images


def rubbish() -> set[str]:
    """Return what Ray may leave behind."""
    folder = Path(tempfile.gettempdir())
    names = {path.name for path in folder.iterdir() if path.name == "ray" or is_scratch(path)}
    return names | ({"token"} if (Path.home() / ".ray").exists() else set())


def test_folder_is_read_like_run(tmp_path: Path, engines: tuple[object, ...]) -> None:
    before = rubbish()
    images = write_images(tmp_path / "images", 12, broken=2)
    output = tmp_path / "out"
    # Modules of the current folder must not be imported, here or in the workers.
    for name in ("numpy", "pyarrow", "attrs", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the current folder')")
    code, out, err = program.batch(
        images, *engines, "--output", output, "--json", cwd=tmp_path, OCR_TRT_TEST=str(output)
    )
    assert code == 3, err
    assert not err
    summary = json.loads(out)
    assert (summary["images"], summary["rows"], summary["failed"]) == (12, 12, 2)
    assert summary["errors"][0].keys() == {"id", "page", "message"}
    assert pq.read_schema(next(output.glob("*.parquet"))).equals(result_schema())
    program.check_like_run(output, images, engines)
    assert not program.processes(output)
    assert rubbish() <= before
