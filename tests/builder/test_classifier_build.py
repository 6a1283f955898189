"""A direction classifier from its file to a bundle: draft, int8 build, measure, debug."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.builder import build
from ocr_trt.calibration.images import load_calibration
from ocr_trt.calibration.suitability import shortcomings
from ocr_trt.convert.draft import draft_spec
from ocr_trt.convert.hints import Hints
from ocr_trt.errors import SpecError
from ocr_trt.measure.classifier_result import ClassifierResult
from ocr_trt.ocr.classifier import Direction
from ocr_trt.ocr.dataset import CropLabel, Dataset, ImagePage, crop_images, load_dataset
from ocr_trt.ocr.roles import role_of
from ocr_trt.spec import ClassifierSpec, SourceSpec, dump_spec, spec_from_dict
from tests.builder.small_build import quick_request

MODEL = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N,3,16,64] image) => (float[N,{classes}] {kind})
    {{ a = Conv <strides = [4, 4]> (image, w0)
      b = Relu(a)
      c = Flatten(b)
      logits = MatMul(c, w1)
      {end} }}"""


def write_classifier(
    path: Path, classes: int = 2, end: str = "direction = Softmax(logits)"
) -> Path:
    """Write a model that compares the brightness of the left and the right end of a crop."""
    kind = end.split()[0] if end else "logits"
    model = onnx.parser.parse_model(MODEL.format(classes=classes, kind=kind, end=end))
    w0 = np.full((1, 3, 4, 4), 1 / 48, np.float32)
    columns = np.repeat(np.linspace(1, -1, 16, dtype=np.float32)[None], 4, 0).reshape(-1, 1)
    w1 = np.concatenate([columns * 4 * (-1) ** n / (1 + n // 2) for n in range(classes)], 1)
    if classes == 1:
        w1 = -w1
    for name, array in (("w0", w0), ("w1", np.ascontiguousarray(w1, np.float32))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, path)
    return path


def draft(path: Path) -> ClassifierSpec:
    spec = draft_spec("classifier", Hints(source=SourceSpec(path=path)))
    assert isinstance(spec, ClassifierSpec)
    return spec


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Twenty labeled lines that are bright at the left."""
    folder = tmp_path / "lines"
    folder.mkdir()
    rng, rows = np.random.default_rng(0), []
    for number in range(20):
        ramp = np.linspace(240, 10, 64)[None, :, None]
        image = (ramp + rng.integers(-9, 9, (16, 64, 3))).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        rows.append(f'{{"file": "{number}.png", "text": "x"}}')
    (folder / "labels.json").write_text(f"[{', '.join(rows)}]")
    return folder


def test_a_classifier_is_drafted_built_in_int8_and_judged(tmp_path: Path, lines: Path) -> None:
    spec = draft(write_classifier(tmp_path / "c.onnx"))
    assert (spec.angles, spec.output.kind, spec.input.max_batch) == ((0, 180), "probabilities", 16)
    assert spec_from_dict(spec.model_dump()) == spec
    assert "angles" in dump_spec(spec)
    (result,) = build(quick_request(spec, lines, tmp_path / "b", everywhere=True))
    assert result.bundle is not None, result.error
    metric = result.bundle.manifest.verdict.metric
    assert metric is not None
    assert (metric.name, metric.samples, metric.engine, metric.loss) == ("accuracy", 40, 1.0, 0.0)


@pytest.mark.parametrize(
    ("classes", "end", "kind", "angles"),
    [
        (4, "direction = Softmax(logits)", "probabilities", (0, 90, 180, 270)),
        (2, "", "logits", (0, 180)),
        (1, "direction = Sigmoid(logits)", "probabilities", (0, 180)),
    ],
)
def test_angles_and_kind_follow_the_classes(
    tmp_path: Path, classes: int, end: str, kind: str, angles: tuple[int, ...]
) -> None:
    spec = draft(write_classifier(tmp_path / "c.onnx", classes, end))
    assert (spec.output.kind, spec.angles) == (kind, angles)


def test_other_numbers_of_classes_are_refused_with_the_expected_ones(tmp_path: Path) -> None:
    path = write_classifier(tmp_path / "c.onnx", 3)
    with pytest.raises(SpecError, match=r"3 classes; expected 2 .*4 "):
        draft(path)


def test_samples_are_lines_turned_by_each_angle(tmp_path: Path, lines: Path) -> None:
    spec = draft(write_classifier(tmp_path / "c.onnx"))
    labels = role_of(spec).labels_of(load_dataset(lines))
    assert [label.turn for label in labels] == [0] * 20 + [180] * 20
    upright, upside_down = crop_images([labels[0], labels[20]])
    assert np.array_equal(upright[::-1, ::-1], upside_down)
    images = load_calibration(lines, spec, limit=10)
    assert {label.turn for label in images._chosen(role_of(spec), lambda _: None)} == {0, 180}
    assert shortcomings(images) == ()
    # A selection of samples keeps their turns.
    chosen = Dataset(folder=lines, scenes=(), crops=labels[19:21], labeled=True)
    assert role_of(spec).labels_of(chosen) == labels[19:21]
    # Without labels, each image is a line, and the baseline's output is the truth.
    (lines / "labels.json").unlink()
    assert len(role_of(spec).labels_of(load_dataset(lines))) == 40


def test_results_are_compared() -> None:
    crops = tuple(
        CropLabel(image=ImagePage(path=Path("a.png")), text="", turn=turn) for turn in (0, 180, 180)
    )
    right, wrong = Direction(angle=180, score=0.9), Direction(angle=0, score=0.8)
    base = ClassifierResult(crops=crops, directions=(wrong, right, right))
    own = ClassifierResult(crops=crops, directions=(wrong, wrong, right))
    assert (base.value, own.value) == (1.0, pytest.approx(2 / 3))
    assert own.rows().tolist() == [[2, 3]]
    (changed,) = own.changed_from(base)
    assert (changed.index, changed.change) == (1, "worse")
    assert own.worst(5) == [1]
    assert own.harm(base, 1, labeled=True)[0] == 1
    assert own.compare(base, labeled=False, run_by="x").loss == pytest.approx(100 / 3)
    assert own.useless_value(labeled=True) is not None  # as good as always 180
    assert base.useless_value(labeled=True) is None
