"""``ocr-trt optimize DETECTOR RECOGNIZER``: the whole command, on models whose results are known.

The detector finds bright areas. The recognizer reads one of two texts, by the brightness of a line.
Both have layers that int8 speeds up.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import yaml

from ocr_trt.builder.pairs import model_trials
from ocr_trt.builder.pairs.pair_reader import Criterion
from ocr_trt.builder.pairs.pairs_report import PairsReport
from ocr_trt.engines.bundle import load_bundle
from tests.cli.in_process import fails, run, succeeds
from tests.readable_models import TEXTS, receipt, write_models

DETECTOR = """<ir_version: 8, opset_import: ["" : 18]>
    g (float[1,3,H,W] image) => (float[1,1,H,W] map)
    <float[1] shift = {300}>
    { a = Conv (image, w0)
      b = Relu (a)
      c = Conv (b, w1)
      d = Relu (c)
      sum = Conv (d, w2)
      above = Sub (sum, shift)
      map = Sigmoid (above) }"""
"""The sum of the channels of a pixel, through eight equal channels."""


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Specs by role. Read-only."""
    folder = tmp_path_factory.mktemp("readable")
    files = write_models(folder)
    model = onnx.parser.parse_model(DETECTOR)
    same = np.eye(8, dtype=np.float32).reshape(8, 8, 1, 1)
    weights = {
        "w0": np.ones((8, 3, 1, 1), np.float32),
        "w1": same,
        "w2": np.full((1, 8, 1, 1), 1 / 8, np.float32),
    }
    for name, array in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, folder / "detector.onnx")
    return files


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images of two lines each, with labels. Read-only."""
    folder = tmp_path_factory.mktemp("labeled") / "data"
    folder.mkdir()
    rows = []
    for number in range(10):
        receipt(255, 150 - number).save(folder / f"{number}.png")
        boxes = [
            {"polygon": [16, y, 112, y, 112, y + 16, 16, y + 16], "text": text}
            for y, text in zip((16, 64), TEXTS, strict=True)
        ]
        rows.append({"file": f"{number}.png", "boxes": boxes})
    (folder / "labels.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(autouse=True)
def _brief_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_trials, "_DURATION_S", 0.02)


OPTIONS = ("--target", "openvino", "--duration", "0.02")


def test_fastest_pair_is_written_and_builds_are_reused(
    specs: dict[str, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCR_TRT_CACHE_MIB", "64")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = ["optimize", specs["recognizer"], specs["detector"], "--data", data, *OPTIONS]
    output = tmp_path / "out"
    report = PairsReport.model_validate(
        json.loads(succeeds(*command, "--output", output, "--json"))
    )
    assert json.loads((output / "pairs.json").read_text()) == report.model_dump(mode="json")
    assert (report.budget, report.images, report.labeled) == (0.8, 10, True)
    assert report.baseline_hmean == 1.0
    labels = {(row.role, row.label) for row in report.variants if not row.error}
    assert {("detector", "fp32"), ("detector", "int8"), ("recognizer", "fp32")} <= labels
    assert any(label.endswith("input 64x128") for _, label in labels), "a smaller input is tried"
    chosen = report.chosen
    assert (chosen.verdict, chosen.loss) == ("shown", 0.0)
    assert chosen.measured is not None
    bundles = [load_bundle(output / name) for name in report.bundles]
    assert [each.spec.role for each in bundles] == ["detector", "recognizer"]
    assert [each.spec.accuracy.max_loss for each in bundles] == [0.5, 0.3], "not that of variants"
    words = report.command.split()[3:]
    read = json.loads(succeeds("run", data / "0.png", *words, "--json"))
    assert [line["text"] for line in read[0]["lines"]] == list(TEXTS)
    assert {each.name for each in output.parent.iterdir()} == {"out", "cache"}, "no scratch folder"

    again = run(*command, "--output", output, "--budget", "0.4")
    assert again.code == 0, again.stderr
    assert "build for openvino" not in again.stderr, "all bundles come from the cache"
    assert "ms predicted" in again.stdout
    assert "Chosen pair" in again.stdout
    written = json.loads((output / "pairs.json").read_text())
    assert written["command"] in again.stdout
    assert written["budget"] == 0.4, "replaced as a whole"
    (output / "notes.txt").write_text("mine")
    fails(run(*command, "--output", output), 2, "notes.txt", "did not write")


def test_unlabeled_images_are_judged_by_the_models(
    specs: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    shutil.copytree(data, images)
    (images / "labels.json").unlink()
    command = ["optimize", *specs.values(), "--data", images, *OPTIONS, "--output", tmp_path / "o"]
    report = PairsReport.model_validate(json.loads(succeeds(*command, "--json")))
    assert not report.labeled
    assert report.chosen.verdict == "agrees"
    assert report.chosen.agreement == 1.0
    recognizers = [row for row in report.variants if row.role == "recognizer" and not row.error]
    assert all(row.loss == 0 for row in recognizers), "lines are cut out by the detector"


def test_pair_over_the_budget_is_not_written(
    specs: dict[str, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "o"
    output.mkdir()
    (output / "pairs.json").write_text('{"bundles": []}')
    # Engines in fp32 read these images as the models do, so no real budget refuses all of them.
    monkeypatch.setattr(Criterion, "accepts", lambda *_: False)
    command = ("optimize", *specs.values(), "--data", data, *OPTIONS, "--output", output)
    done = run(*command, "--budget", "0.1")
    fails(done, 4, "budget of 0.1 points", "nearest", "loses 0.00 points", "nothing was written")
    assert [each.name for each in output.iterdir()] == ["pairs.json"], "the older output stays"


@pytest.mark.parametrize(
    ("names", "options", "facts"),
    [
        (("detector", "detector"), [], ["one detector and of one recognizer", "a detector, "]),
        (("recognizer", "recognizer"), [], ["is a recognizer"]),
        (("detector", "recognizer", "detector"), [], ["one detector"]),
        (("detector", "recognizer"), ["--budget", "much"], ["much", "end-to-end", "0 to 100"]),
        (("detector", "recognizer"), ["--budget", "-1"], ["-1", "0 to 100"]),
        (("detector", "recognizer"), ["--budget", "nan"], ["nan", "0 to 100"]),
        (("detector", "recognizer"), ["--draw", "b.svg"], ["--draw", "one recognizer only"]),
        (("detector", "recognizer"), ["--calibration", "nowhere"], ["nowhere", "no such"]),
        (("recognizer",), ["--budget", "1"], ["--budget", "both specs", "add"]),
    ],
)
def test_wrong_requests_are_refused(
    names: tuple[str, ...],
    options: list[str],
    facts: list[str],
    specs: dict[str, Path],
    data: Path,
    tmp_path: Path,
) -> None:
    paths = [specs[name] for name in names]
    fails(run("optimize", *paths, "--data", data, *options, cwd=tmp_path), 2, *facts)


def test_wrong_data_and_output_are_refused(
    specs: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    both = list(specs.values())
    fails(run("optimize", *both), 2, "--data DIR")
    inside = run("optimize", *both, "--data", data, "--output", data / "out")
    fails(inside, 2, "which is read", str(data))
    users = tmp_path / "users"
    users.mkdir()
    (users / "thesis.txt").write_text("mine")
    fails(run("optimize", *both, "--data", data, "--output", users), 2, "thesis.txt")
    lines = tmp_path / "lines"
    lines.mkdir()
    receipt(255).save(lines / "1.png")
    (lines / "labels.json").write_text(json.dumps([{"file": "1.png", "text": "a"}]))
    output = ("--output", tmp_path / "o")
    fails(run("optimize", *both, "--data", lines, *output), 2, "line images only", "whole images")
    box = {"polygon": [16, 16, 112, 16, 112, 32, 16, 32]}
    (lines / "labels.json").write_text(json.dumps([{"file": "1.png", "boxes": [box]}]))
    fails(run("optimize", *both, "--data", lines, *output), 2, "no box", "text")
    named = yaml.safe_load(specs["recognizer"].read_text())
    named["name"] = "detector"
    twin = specs["recognizer"].with_name("twin.yaml")
    twin.write_text(yaml.safe_dump(named))
    fails(run("optimize", both[0], twin, "--data", data, *output), 2, "'detector'", "rename")
    assert not (tmp_path / "o").exists()
