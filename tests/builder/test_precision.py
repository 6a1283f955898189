"""Precision in the whole build: best, 16 bits, files of ranges, lines cropped by a detector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ocr_trt.builder import SilentReporter, build
from ocr_trt.builder.calibrate import detected_crops
from ocr_trt.builder.precision_page import FILES
from ocr_trt.calibration.ranges import load_ranges
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.engine import Engine
from ocr_trt.errors import InputFileError, UserError
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.spec import DetectorSpec
from tests.builder.small_build import quick_request
from tests.pipeline.functions import FunctionRunner
from tests.pipeline.functions import detector_spec as plain_detector


class Notes(SilentReporter):
    """Collects steps and notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[str] = []

    def step(self, title: str, total: int | None = None) -> Any:
        self.steps.append(title)
        return super().step(title, total)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(
    ("model", "least_share"),
    [
        ("onnx_recognizer", 0.4),
        pytest.param("recognizer_spec", 0.8, marks=pytest.mark.full),
    ],
)
def test_best_build_lists_its_trials_and_the_precision_of_each_layer(
    model: str, least_share: float, images: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("tensorrt_rtx")
    spec = request.getfixturevalue(model)
    build_request = quick_request(
        spec, images, tmp_path, precision="best", method="mse",
        targets=("openvino", "tensorrt-rtx"),
    )  # fmt: skip
    for result in build(build_request):
        assert result.error is None
        assert result.folder.name == f"{spec.name}-{result.target}-best"
        manifest = load_bundle(result.folder).manifest
        assert set(FILES) <= set(manifest.files)
        report = json.loads((result.folder / FILES[0]).read_text())
        layers = {row["name"]: row for row in report["layers"]}
        in_int8 = {name for name, row in layers.items() if row["precision"] == "int8"}
        graph = onnx.load(result.folder / "model_64.onnx")
        kinds = {n.op_type for n in graph.graph.node}
        if result.target == "tensorrt-rtx":
            assert in_int8, "nothing is timed, so most int8 is taken"
            assert manifest.int8_share == pytest.approx(sum(layers[n]["work"] for n in in_int8))
            assert manifest.int8_share > least_share
            rest = {row["precision"] for name, row in layers.items() if name not in in_int8}
            assert rest == {"fp16"}
            assert {"QuantizeLinear", "Cast"} <= kinds
        else:
            assert all(row["precision"] in ("int8", "bf16", "fp32") for row in layers.values())
            assert bool(in_int8) == ("QuantizeLinear" in kinds)
            assert all(trial["latency"] for trial in report["trials"] if trial["chosen"])
        for row in layers.values():
            assert (row["precision"] == "int8") != bool(row["why"]), "a reason for all but int8"
        assert sum(trial["chosen"] for trial in report["trials"]) == 1
        page = (result.folder / FILES[1]).read_text()
        assert "<svg" in page
        assert all(name in page for name in layers)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_16_bits_are_judged_with_their_rounding(
    precision: str, onnx_detector: DetectorSpec, images: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    build_request = quick_request(
        onnx_detector, images, tmp_path, precision=precision, targets=("tensorrt-rtx",)
    )
    (result,) = build(build_request)
    assert result.error is None
    manifest = load_bundle(result.folder).manifest
    assert manifest.verdict is not None
    assert manifest.verdict.metric is not None
    assert (
        f"onnxruntime on the quantized graph ({precision})" in manifest.verdict.metric.engine_run_by
    )
    assert manifest.int8_share is None
    kind = onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.BFLOAT16
    graph = onnx.load(result.folder / "model_32.onnx")
    assert any(t.data_type == kind for t in graph.graph.initializer)


def test_file_of_ranges_is_written_and_then_used(
    onnx_detector: DetectorSpec, images: Path, tmp_path: Path
) -> None:
    build_request = quick_request(
        onnx_detector, images, tmp_path / "out", ranges=tmp_path / "ranges.json"
    )
    first, second = Notes(), Notes()
    (one,) = build(build_request, first)
    assert "calibrate" in first.steps
    saved = load_ranges(tmp_path / "ranges.json")
    (two,) = build(build_request, second)
    assert "calibrate" not in second.steps
    for result in (one, two):
        assert result.error is None
        assert result.bundle is not None
        assert result.bundle.manifest.calibration is not None
        used = result.bundle.manifest.calibration.ranges
        assert used.items() < saved.ranges.items(), "the file has those of the edges too"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "minmax"}, "another method"),
        ({"method": "auto"}, "give --method NAME"),
        ({"precision": "best"}, "give --method NAME"),
        ({"corrections": ("bias",)}, "give --method NAME"),
    ],
)
def test_file_of_ranges_is_not_used_for_other_ranges(
    change: dict[str, Any], message: str, onnx_detector: DetectorSpec, images: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    ranges = tmp_path / "ranges.json"
    build(quick_request(onnx_detector, images, tmp_path / "out", ranges=ranges))
    with pytest.raises(UserError, match=message):
        results = build(
            quick_request(onnx_detector, images, tmp_path / "out", ranges=ranges, **change)
        )
        raise results[0].error or AssertionError("it was built")


def test_file_of_ranges_that_lacks_one_is_refused(
    onnx_detector: DetectorSpec, images: Path, tmp_path: Path
) -> None:
    path = tmp_path / "ranges.json"
    build_request = quick_request(onnx_detector, images, tmp_path / "out", ranges=path)
    build(build_request)
    saved = load_ranges(path)
    fewer = {name: limit for name, limit in saved.ranges.items() if name != "image"}
    path.write_text(saved.model_copy(update={"ranges": fewer}).model_dump_json())
    (result,) = build(build_request)
    assert isinstance(result.error, UserError)
    assert "has no range of image" in str(result.error)


def test_ranges_are_refused_for_changed_images(
    onnx_detector: DetectorSpec, images: Path, tmp_path: Path
) -> None:
    import cv2

    ranges = tmp_path / "ranges.json"
    build(quick_request(onnx_detector, images, tmp_path / "out", ranges=ranges))
    cv2.imwrite(str(images / "0.png"), np.zeros((48, 80, 3), np.uint8))
    (result,) = build(quick_request(onnx_detector, images, tmp_path / "out", ranges=ranges))
    assert isinstance(result.error, UserError)
    assert "another calibration folder" in str(result.error)


def test_everywhere_quantizes_the_first_and_the_last_layer(
    onnx_detector: DetectorSpec, images: Path, tmp_path: Path
) -> None:
    shares = []
    for everywhere in (False, True):
        build_request = quick_request(onnx_detector, images, tmp_path, everywhere=everywhere)
        (result,) = build(build_request)
        assert result.bundle is not None
        shares.append(result.bundle.manifest.int8_share)
        assert bool(result.bundle.manifest.precision_exceptions) != everywhere
    assert shares[0] < shares[1] == 1.0


def test_line_crops_are_those_that_the_detector_finds(images: Path) -> None:
    spec = plain_detector()
    boxes = np.zeros((1, 1, 64, 64), np.float32)
    boxes[..., 20:30, 10:40] = 0.9
    runner = FunctionRunner(lambda feed: boxes, (3, 64, 64), 1)
    engine = Engine(label="finder", spec=spec, open_runner=lambda width: runner)
    (images / "broken.png").write_bytes(b"nothing")
    (images / "labels.json").unlink()
    notes = Notes()
    crops = detected_crops(load_dataset(images), engine, notes)
    assert [crop.image.name for crop in crops] == ["0.png", "1.png", "2.png"]
    assert all(crop.quad is not None and crop.quad.shape == (4, 2) for crop in crops)
    assert len(notes.notes) == 1
    assert "broken.png" in notes.notes[0]
    nothing = FunctionRunner(lambda feed: 0 * boxes, (3, 64, 64), 1)
    blind = Engine(label="finder", spec=spec, open_runner=lambda width: nothing)
    with pytest.raises(InputFileError, match="finder finds no text in its images"):
        detected_crops(load_dataset(images), blind, notes)
