"""A detector whose boxes are polygons, through the commands, the service and an export."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
import shapely
from PIL import Image

from ocr_trt import open_reader
from ocr_trt.batch.table_schema import result_schema
from ocr_trt.cli.schema import Document, json_schema
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.engine import Engine
from ocr_trt.errors import SpecError
from ocr_trt.pipeline.gpu import GpuReader
from tests.cli.in_process import succeeds
from tests.export.test_repository import exported
from tests.json_schema import problems
from tests.readable_models import TEXTS, badge, write_bundles, write_models
from tests.serve.client import service

# The arch of the badge: radii of its middle line and half its height.
CENTER, RADIUS, HALF = (80, 76), 64, 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles with polygons, and images with curved and straight text."""
    folder = tmp_path_factory.mktemp("polygons")
    write_bundles(write_models(folder, shape="polygon"), folder / "bundles")
    (folder / "images").mkdir()
    badge().save(folder / "images" / "badge.png")
    return folder


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[object, ...]:
    """The options that name both bundles."""
    bundles = folder / "bundles"
    return "--detector", bundles / "detector", "--recognizer", bundles / "recognizer"


def check_lines(lines: list[dict]) -> None:
    curved, straight = lines
    assert [line["text"] for line in lines] == list(TEXTS)
    polygon = np.array(curved["polygon"])
    assert len(polygon) > 8
    radii = np.linalg.norm(polygon - CENTER, axis=1)
    half = len(polygon) // 2
    assert radii[:half] == pytest.approx(RADIUS + HALF, abs=3.5)
    assert radii[half:] == pytest.approx(RADIUS - HALF, abs=3.5)
    assert polygon[0][0] < polygon[half - 1][0], "text runs to the right"
    around = shapely.Polygon(curved["quad"]).buffer(1)
    assert around.covers(shapely.Polygon(polygon))
    assert straight["polygon"] == straight["quad"]


def test_run_prints_and_draws_polygons(
    folder: Path, pair: tuple[object, ...], tmp_path: Path
) -> None:
    image = folder / "images" / "badge.png"
    rows = json.loads(succeeds("run", image, *pair, "--json", "--draw", tmp_path))
    check_lines(rows[0]["lines"])
    assert problems(rows, json_schema(Document.RUN)) == []
    (drawn,) = tmp_path.glob("*.png")
    left = np.asarray(Image.open(drawn).convert("RGB")).astype(int)[:, :160]
    colored = np.ptp(left, axis=2) > 60
    # The outline is drawn along the arch, and not along the rectangle around it.
    assert colored[CENTER[1] - RADIUS - HALF - 2 : CENTER[1] - RADIUS - HALF + 3, 80].any()
    x, y = np.array(rows[0]["lines"][0]["quad"][0]) + 4
    assert not colored[int(y) : int(y) + 6, int(x) : int(x) + 6].any()


def test_lines_are_values_and_rows_of_tables(folder: Path, pair: tuple[object, ...]) -> None:
    import pickle

    with open_reader(pair[1], pair[3]) as reader:
        one, again = (reader.read(folder / "images" / "badge.png") for _ in range(2))
    assert one == again == pickle.loads(pickle.dumps(one))
    assert hash(one) == hash(again)
    line = one.lines[0]
    assert line.outline is line.polygon
    with pytest.raises(ValueError, match="read-only"):
        line.polygon[0, 0] = 1
    rows = [{"id": "a", "page": 1, "lines": [each.to_dict() for each in one.lines]}]
    table = pa.Table.from_pylist(rows, schema=result_schema(has_polygons=True))
    assert table["lines"].to_pylist() == [rows[0]["lines"]]
    without = {field.name for field in result_schema().field("lines").type.value_type}
    assert without == {"quad", "text", "box_score", "text_score"}


def test_labels_with_polygons_are_compared_with_polygons(
    folder: Path, pair: tuple[object, ...], tmp_path: Path
) -> None:
    image = folder / "images" / "badge.png"
    (tmp_path / "badge.png").write_bytes(image.read_bytes())
    angles = np.radians(np.linspace(225, 315, 7))
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    outside, inside = (CENTER + circle * (RADIUS + side) for side in (HALF, -HALF))
    arch = np.concatenate([outside, inside[::-1]]).round(1).ravel().tolist()
    rectangle = [40, 64, 120, 64, 120, 80, 40, 80]
    boxes = [{"polygon": arch, "text": TEXTS[0]}, {"polygon": rectangle, "text": TEXTS[1]}]
    rows = [{"file": "badge.png", "boxes": boxes}]
    (tmp_path / "labels.json").write_text(json.dumps(rows))
    quick = ("--duration", "0.01", "--report", tmp_path / "report")
    succeeds("bench", pair[1], pair[3], "--data", tmp_path, *quick)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    detector, recognizer = (
        [system["accuracy"] for system in model["systems"] if system["accuracy"]]
        for model in report["models"]
    )
    assert {each["hmean"] for each in detector} == {1.0}
    assert {each["cer"] for each in recognizer} == {0.0}
    both = [system["accuracy"]["e2e_hmean"] for system in report["end_to_end"]["systems"]]
    assert both == [1.0, 1.0]


def test_the_service_returns_polygons(folder: Path, pair: tuple[object, ...]) -> None:
    content = (folder / "images" / "badge.png").read_bytes()
    with service(*pair) as running:
        rows = running.ask("/v1/ocr", content, content_type="image/png").json
        check_lines(rows[0]["lines"])
        assert problems(rows, json_schema(Document.RUN)) == []
        drawn = running.ask("/v1/ocr?draw=1", content, content_type="image/png")
        assert drawn.headers["content-type"] == "image/png"
        described = running.ask("/openapi.json").json
    assert "polygon" in described["components"]["schemas"]["TextLine"]["properties"]
    assert running.process.poll() is not None


def test_an_exported_pipeline_returns_polygons(folder: Path, tmp_path: Path) -> None:
    from tests.export.test_served_models import arrays, content_of
    from tests.export.triton_stand_in import StandInServer

    bundles = folder / "bundles"
    models = exported(
        tmp_path / "repo", bundles / "detector", bundles / "recognizer", is_stand_in=True
    )
    (port,) = (each for each in models["ocr"]["output"] if each["name"] == "polygons")
    assert port["dims"] == ["-1", "32", "2"]
    content = (folder / "images" / "badge.png").read_bytes()
    blank = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    with StandInServer(tmp_path / "repo") as server:
        result = arrays(server.infer("ocr", [content_of(content)]))
        nothing = arrays(server.infer("ocr", [content_of(blank)]))
    assert result["polygons"].shape == (2, 32, 2) and result["quads"].shape == (2, 4, 2)
    assert nothing["polygons"].shape == (0, 32, 2)
    area = shapely.Polygon(result["polygons"][1]).area
    assert area == pytest.approx(shapely.Polygon(result["quads"][1]).area)


@pytest.mark.full
def test_batch_writes_polygons(folder: Path, pair: tuple[object, ...], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from tests.batch import program

    assert program.batch(folder / "images", *pair, "--output", tmp_path / "out")[0] == 0
    program.check_like_run(tmp_path / "out", folder / "images", pair)


def test_the_gpu_reader_refuses_polygons(folder: Path) -> None:
    detector, recognizer = (
        Engine.from_bundle(load_bundle(folder / "bundles" / role))
        for role in ("detector", "recognizer")
    )
    with detector, recognizer, pytest.raises(SpecError, match=r"boxes\.shape.*polygon.*OcrReader"):
        GpuReader(detector, recognizer)
