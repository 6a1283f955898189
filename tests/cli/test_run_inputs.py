"""``ocr-trt run``: documents of several pages, standard input, folders, memory."""

from __future__ import annotations

import errno
import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.in_process import fails, run, succeeds
from tests.ocr.files import encoded, letters, pdf

PAGES = [Image.new("RGB", (90, 60), (number, 0, 0)) for number in (200, 100, 50)]
TIFF = encoded(PAGES[0], "TIFF", save_all=True, append_images=PAGES[1:])


def pages(rows: list[dict]) -> list[tuple[str, int]]:
    return [(Path(row["file"]).name, row["page"]) for row in rows]


def test_every_page_has_a_row_and_a_drawing(engines: tuple[object, ...], tmp_path: Path) -> None:
    (tmp_path / "scan.tif").write_bytes(TIFF)
    (tmp_path / "scan.page2.png").write_bytes(encoded(PAGES[0]))
    (tmp_path / "form.pdf").write_bytes(pdf(["0 0 60 60", "0 0 99999 99999"]))
    drawn = tmp_path / "drawn"
    done = run(
        "run", tmp_path, *engines, "--json", "--draw", drawn, "--workers", "2", "--memory", "1"
    )
    fails(done, 3, "form.pdf, page 2", "99999x99999")
    assert pages(json.loads(done.stdout)) == [
        ("form.pdf", 1), ("form.pdf", 2), ("scan.page2.png", 1),
        ("scan.tif", 1), ("scan.tif", 2), ("scan.tif", 3),
    ]  # fmt: skip
    assert sorted(path.name for path in drawn.iterdir()) == [
        "form.page1.ocr.png", "scan.page1.ocr.png", "scan.page2.ocr.png",
        "scan.page2_.ocr.png", "scan.page3.ocr.png",
    ]  # fmt: skip


def test_dpi_sets_the_size_of_document_pages(engines: tuple[object, ...], tmp_path: Path) -> None:
    (tmp_path / "form.pdf").write_bytes(pdf(["0 0 72 36"]))
    for dpi in (100, 144):
        (row,) = json.loads(
            succeeds("run", tmp_path / "form.pdf", *engines, "--json", "--dpi", dpi)
        )
        assert (row["width"], row["height"]) == (dpi, dpi // 2)


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_image_from_standard_input(
    engines: tuple[object, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    piped(monkeypatch, TIFF)
    rows = json.loads(succeeds("run", "-", *engines, "--json", "--draw", tmp_path))
    assert pages(rows) == [("-", 1), ("-", 2), ("-", 3)]
    assert (tmp_path / "stdin.page1.ocr.png").is_file()
    piped(monkeypatch, b"")
    fails(run("run", "-", *engines), 2, "-: the file is empty")


def test_what_is_left_out_of_a_folder_or_file_is_noted(
    engines: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/inner.png").write_bytes(encoded(letters()))
    (tmp_path / "notes.txt").touch()
    (tmp_path / "moving.gif").write_bytes(
        encoded(letters(), "GIF", save_all=True, append_images=[letters(255, 0)])
    )
    done = run("run", tmp_path, *engines, "--json")
    assert done.code == 0
    for fact in ("notes.txt", "not an image", "--recursive", "moving.gif: an animation"):
        assert fact in done.stderr
    rows = json.loads(succeeds("run", tmp_path, *engines, "--json", "--recursive"))
    assert pages(rows) == [("moving.gif", 1), ("inner.png", 1)]
    assert run("run", tmp_path, *engines, "--quiet").stderr == ""


def test_exhausted_memory_is_an_error_of_its_image(
    engines: tuple[object, ...], images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocr_trt.pipeline.reader import OcrReader
    from ocr_trt.pipeline.text_lines import FoundText

    read = OcrReader.read_text

    def starved(self: OcrReader, image) -> FoundText:
        starved.calls += 1
        if starved.calls == 2:
            raise MemoryError
        return read(self, image)

    starved.calls = 0
    monkeypatch.setattr(OcrReader, "read_text", starved)
    done = run("run", images, *engines, "--json", "--workers", "1")
    fails(done, 3, "1.png: not enough memory")
    types = [row.get("error", {}).get("type") for row in json.loads(done.stdout)]
    assert types == [None, "OutOfMemoryError", None]


class _Broken(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, _: object) -> int:
        raise OSError(errno.EBADF, "Bad file descriptor")


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "unreadable"])
def test_standard_input_that_cannot_be_read(
    is_closed: bool, engines: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = io.TextIOWrapper(io.BufferedReader(_Broken()))
    monkeypatch.setattr(sys, "stdin", None if is_closed else broken)
    fails(run("run", "-", *engines), 2, "standard input", "run - < IMAGE")
