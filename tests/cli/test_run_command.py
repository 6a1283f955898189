"""``ocr-trt run``: images in, text and drawings out."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ocr_trt import ReadResult, open_reader
from ocr_trt.cli.schema import Document, json_schema
from ocr_trt.pipeline.clock import STAGES
from tests.cli.in_process import fails, run, succeeds
from tests.json_schema import problems


def test_run_prints_json_and_draws(
    engines: tuple[object, ...], images: Path, tmp_path: Path
) -> None:
    options = ("--draw", tmp_path / "drawn", "--json", "--workers", "2", "--tiles", "on")
    rows = json.loads(succeeds("run", images, *engines, *options))
    assert [Path(row["file"]).name for row in rows] == ["0.png", "1.png", "2.png"]
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 3
    alone = json.loads(succeeds("run", images, *engines, "--tiles", "on", "--json"))
    for row in (*rows, *alone):
        assert row.pop("seconds").keys() == set(STAGES)
    assert alone == rows, "one worker reads the same"


def test_run_and_the_reader_have_one_schema(
    bundles: dict[str, Path], engines: tuple[object, ...], images: Path
) -> None:
    pages = [Image.open(images / f"{number}.png") for number in range(2)]
    pages[0].save(images / "scan.tiff", save_all=True, append_images=pages[1:])
    (images / "1.png").write_bytes(b"no image")
    done = run("run", images, *engines, "--json", "--draw", images / "drawn")
    fails(done, 3, "1.png")
    rows = json.loads(done.stdout)
    assert [Path(row["file"]).name for row in rows] == [
        *("0.png", "1.png", "2.png", "scan.tiff", "scan.tiff"),
    ]  # fmt: skip
    assert [row["page"] for row in rows] == [1, 1, 1, 1, 2]
    assert problems(rows, json_schema(Document.RUN)) == []
    assert problems(rows[0], json_schema(Document.RESULT)) == []
    assert rows[1]["error"].keys() == {"type", "message", "exit_code"}
    names = {"0.ocr.png", "2.ocr.png", "scan.page1.ocr.png", "scan.page2.ocr.png"}
    assert {path.name for path in (images / "drawn").iterdir()} == names
    with open_reader(bundles["detector"], bundles["recognizer"]) as reader:
        files = sorted(images.glob("*.[pt]*"))
        for row, result in zip(rows, reader.read_all(files, return_exceptions=True), strict=True):
            if isinstance(result, ReadResult):
                own = result.to_dict()
                assert own.pop("seconds").keys() == row.pop("seconds").keys()
                assert own == row
    text = succeeds("run", images / "scan.tiff", *engines)
    assert "scan.tiff, page 2 of 2: " in text


def test_run_reads_line_images_without_a_detector(
    bundles: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    wide = np.full((8, 700, 3), 255, np.uint8)
    cv2.imwrite(str(images / "wide.png"), wide)
    options = ("--lines", "--recognizer", bundles["recognizer"], "--draw", tmp_path / "drawn")
    rows = json.loads(succeeds("run", images, *options, "--json"))
    assert [Path(row["file"]).name for row in rows] == ["0.png", "1.png", "2.png", "wide.png"]
    for row in rows:
        height, width = cv2.imread(row["file"]).shape[:2]
        for line in row["lines"]:
            assert sorted(map(tuple, line["quad"])) == sorted(
                [(0, 0), (width, 0), (width, height), (0, height)]
            )
            assert line["box_score"] == 1
        assert len(row["lines"]) <= 1
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 4


def test_run_drops_lines_and_boxes_with_low_scores(
    engines: tuple[object, ...], images: Path
) -> None:
    for option in ("--min-score", "--min-box-score"):
        rows = json.loads(succeeds("run", images, *engines, option, "1", "--json"))
        assert all(
            line[key] == 1
            for row in rows
            for line in row["lines"]
            for key in ("text_score" if option == "--min-score" else "box_score",)
        )


def test_run_requires_a_detector_or_lines(engines: tuple[object, ...], images: Path) -> None:
    fails(run("run", images, *engines, "--lines"), 2, "--detector and --lines exclude each other")
    fails(run("run", images, *engines[2:]), 2, "--detector", "--lines")


def test_run_does_not_draw_over_its_images(engines: tuple[object, ...], images: Path) -> None:
    before = {path: path.read_bytes() for path in images.glob("*.png")}
    assert "0.png: " in succeeds("run", images, *engines, "--draw", images)
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in set(images.glob("*.png")) - set(before)) == [
        "0.ocr.png", "1.ocr.png", "2.ocr.png",
    ]  # fmt: skip


def test_run_refuses_a_plan_that_its_runtime_cannot_load(
    bundles: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    forged = Path(shutil.copytree(bundles["detector"], tmp_path / "forged"))
    manifest = json.loads((forged / "manifest.json").read_text())
    plan = manifest["engines"][0]["plan"]
    (forged / plan).write_bytes(b"<net>")
    manifest["files"][plan] = {"bytes": 5, "sha256": hashlib.sha256(b"<net>").hexdigest()}
    (forged / "manifest.json").write_text(json.dumps(manifest))
    done = run("run", images, "--detector", forged, "--recognizer", bundles["recognizer"])
    fails(done, 2, "openvino cannot load it")


def test_run_reports_a_bad_file_in_a_folder_and_continues(
    engines: tuple[object, ...], images: Path
) -> None:
    (images / "1.png").write_bytes(b"no image")
    done = run("run", images, *engines, "--json")
    fails(done, 3, "1.png", "not an image")
    rows = json.loads(done.stdout)
    assert ["error" in row for row in rows] == [False, True, False]


def bad_image(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "image.png"
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = cv2.imencode(".png", image)[1].tobytes()
    contents = {
        "text": b"hello",
        "empty": b"",
        "truncated": data[: len(data) // 2],
        "one pixel": cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes(),
    }
    if kind != "missing":
        path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file"),
        ("text", "not an image"),
        ("empty", "is empty"),
        ("truncated", "damaged or truncated"),
        ("one pixel", "too small"),
    ],
)
def test_run_refuses_a_bad_image(
    engines: tuple[object, ...], tmp_path: Path, kind: str, message: str
) -> None:
    fails(run("run", bad_image(tmp_path, kind), *engines), 2, message)


def test_run_refuses_other_folders_and_swapped_bundles(
    bundles: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    detector, recognizer = bundles["detector"], bundles["recognizer"]
    wrong = run("run", images, "--detector", tmp_path, "--recognizer", recognizer)
    fails(wrong, 2, "not an engine bundle")
    swapped = run("run", images, "--detector", recognizer, "--recognizer", detector)
    fails(swapped, 2, "is a recognizer", "expected a detector")
