"""``ocr-trt batch`` with a real Ray."""

from __future__ import annotations

import http.server
import json
import os
import signal
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ocr_trt.batch.table_schema import result_schema
from ocr_trt.cli.schema import Document, json_schema
from ocr_trt.common.scratch import remove_abandoned
from tests.batch import program
from tests.batch.conftest import write_images
from tests.cli.in_process import run
from tests.json_schema import problems


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_folder_is_read_like_run(
    tmp_path: Path, engines: tuple[object, ...], short_folder: Path
) -> None:
    images = write_images(tmp_path / "images", 12, broken=2)
    output = tmp_path / "out"
    # Modules of the current folder must not be imported, here or in the workers.
    for name in ("numpy", "pyarrow", "attrs", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the current folder')")
    places = {"TMPDIR": str(short_folder), "HOME": str(short_folder), "OCR_TRT_TEST": str(output)}
    command = (images, *engines, "--output", output, "--json")
    code, out, err = program.batch(*command, cwd=tmp_path, **places)
    assert code == 3, err
    assert not err
    summary = json.loads(out)
    assert (summary["images"], summary["rows"], summary["failed"]) == (12, 12, 2)
    assert problems(summary, json_schema(Document.BATCH)) == []
    assert pq.read_schema(next(output.glob("*.parquet"))).equals(result_schema())
    program.check_like_run(output, images, engines)
    assert not program.processes(output)
    assert not list(short_folder.iterdir())


@pytest.mark.full
def test_second_run_reads_what_is_missing(tmp_path: Path, engines: tuple[object, ...]) -> None:
    images = write_images(tmp_path / "images", 20)
    output = tmp_path / "out #1? é%20"  # Ray Data parses paths as URLs
    command = (images, *engines, "--output", output, "--json", "--actors", 2)
    assert program.batch(*command)[0] == 0
    (images / "0003.png").rename(images / "new.png")
    (images / "broken.png").write_bytes(b"")
    code, out, err = program.batch(*command)
    assert code == 3, err
    summary = json.loads(out)
    assert (summary["read_earlier"], summary["images"], summary["failed"]) == (20, 22, 1)
    names = [row["id"] for row in program.rows(output)]
    assert sorted(names) == sorted({*names}) and {"0003.png", "new.png"} <= {*names}
    code, out, err = program.batch(*command, "--dpi", 100)
    assert code == 2 and "differs in: settings" in err


@pytest.mark.full
def test_pages_and_contents(tmp_path: Path, engines: tuple[object, ...]) -> None:
    images = write_images(tmp_path / "images", 3)
    pages = [Image.open(file) for file in sorted(images.iterdir())]
    pages[0].save(images / "pages.tiff", save_all=True, append_images=pages[1:])
    code, _, err = program.batch(images, *engines, "--output", tmp_path / "out")
    assert code == 0, err
    program.check_like_run(tmp_path / "out", images, engines)
    files = sorted(images.iterdir())
    contents = [{"bytes": file.read_bytes(), "path": None} for file in files]
    table = pa.table({"label": ["x"] * 6, "image": [*contents, {"bytes": b"junk"}, None]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    line = (tmp_path / "x.parquet", *engines, "--output", tmp_path / "out2", "--column", "image")
    code, _, err = program.batch(*line)
    assert code == 3, err
    by_path, by_content = program.rows(tmp_path / "out"), program.rows(tmp_path / "out2")
    assert [row["lines"] for row in by_content[:6]] == [row["lines"] for row in by_path]
    assert [row["id"] for row in by_content[6:]] == ["x.parquet:4", "x.parquet:5"]
    assert "not an image" in by_content[6]["error"]
    assert "neither a path nor the content" in by_content[7]["error"]


@pytest.mark.full
def test_image_that_kills_its_process(tmp_path: Path, engines: tuple[object, ...]) -> None:
    images = write_images(tmp_path / "images", 12)
    (images / "0004.png").rename(images / "fatal.png")
    # Python runs it in the workers, but only there the image ends the process.
    hook = """
        import os, pathlib, sys
        if "default_worker" in " ".join(sys.orig_argv):
            stat = pathlib.Path.stat
            def fatal(path, **options):
                if path.name == "fatal.png":
                    os.abort()
                return stat(path, **options)
            pathlib.Path.stat = fatal
    """
    folder = tmp_path / "hook"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(textwrap.dedent(hook))
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    command = (images, *engines, "--output", tmp_path / "out", "--block", 4, "--json")
    code, out, err = program.batch(*command, PYTHONPATH=path)
    assert code == 3, err
    assert json.loads(out)["images"] == 12
    failed = [row for row in program.rows(tmp_path / "out") if row["error"]]
    assert [row["id"] for row in failed] == ["fatal.png"]
    assert "the process died" in failed[0]["error"]


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
@pytest.mark.parametrize("moment", ["start", "reading"])
def test_signals(
    tmp_path: Path,
    engines: tuple[object, ...],
    short_folder: Path,
    number: signal.Signals,
    moment: str,
) -> None:
    images = write_images(tmp_path / "images", 200)
    output = tmp_path / "out"
    places = {"TMPDIR": str(short_folder), "OCR_TRT_TEST": str(output)}
    process = program.start(images, *engines, "--output", output, "--block", 4, **places)
    is_reached = {
        "start": lambda: program.processes(output, "gcs_server"),
        "reading": lambda: program.committed(output) > 2,
    }
    program.wait_for(is_reached[moment], process)
    os.killpg(process.pid, number)
    code, out, err = program.finished(process)
    assert (code, out) == (128 + number, ""), err
    assert err.splitlines()[-1].startswith("error: interrupted")
    # Processes that end, and what they write in the meantime, may take a moment.
    end = time.monotonic() + program.LONGEST
    while program.processes(output) and time.monotonic() < end:
        time.sleep(0.1)
    assert not program.processes(output)
    # On a busy machine, Ray does not end within three seconds; then the next run removes its files.
    remove_abandoned(short_folder)
    assert not list(short_folder.iterdir())
    names = {file.name.rpartition("-")[0] for file in output.glob("*.parquet")}
    assert len(names) == program.committed(output)


def test_addresses_that_cannot_be_used(tmp_path: Path, engines: tuple[object, ...]) -> None:
    images = write_images(tmp_path / "images", 1)
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for address, reason in (
        (f"127.0.0.1:{server.server_port}", "another program listens there"),
        ("127.0.0.1:1", "nothing listens there"),
        ("here:x", "nothing listens there"),
        ("ray://127.0.0.1:10001", "not through a Ray client"),
    ):
        done = run("batch", images, *engines, "--output", tmp_path / "out", "--ray", address)
        assert done.code == 2 and reason in done.stderr
    server.shutdown()
    server.server_close()
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_engines_of_other_roles(tmp_path: Path, bundles: dict[str, Path]) -> None:
    images = write_images(tmp_path / "images", 1)
    swapped = ("--detector", bundles["recognizer"], "--recognizer", bundles["detector"])
    done = run("batch", images, *swapped, "--output", tmp_path / "out")
    assert done.code == 2 and "is a recognizer, expected a detector" in done.stderr
    assert not (tmp_path / "out").exists()
    done = run("batch", images, *swapped, "--lines", "--output", tmp_path / "out")
    assert done.code == 2 and "exclude each other" in done.stderr
