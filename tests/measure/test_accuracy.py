from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ocr_trt.measure.detector_result import DetectorResult
from ocr_trt.measure.recognizer_result import RecognizerResult
from ocr_trt.ocr.dataset import CropLabel, ImagePage, SceneLabel
from ocr_trt.ocr.metrics.detection import match_image

BOX = np.float32([[0, 0], [50, 0], [50, 20], [0, 20]])

PAGE = ImagePage(path=Path("a.png"))


def scenes(labeled: bool) -> tuple[SceneLabel, ...]:
    quads = BOX[None] if labeled else np.zeros((0, 4, 2), np.float32)
    ignore = (False,) * len(quads)
    return (SceneLabel(image=PAGE, quads=quads, texts=("x",) * len(quads), ignore=ignore),)


def detected(found: np.ndarray, labeled: bool = True) -> DetectorResult:
    rows = scenes(labeled)
    matchings = tuple(match_image(found, s.quads, s.ignore) for s in rows)
    return DetectorResult(scenes=rows, boxes=(found,), matchings=matchings)


def test_detector_loss_against_labels() -> None:
    nothing = detected(np.zeros((0, 4, 2), np.float32))
    metric = nothing.compare(detected(BOX[None]), labeled=True, run_by="x")
    assert (metric.engine, metric.baseline, metric.labeled) == (0.0, 1.0, True)
    assert metric.loss == 100


def test_without_labels_the_baseline_is_the_truth() -> None:
    model = detected(BOX[None], False)
    same = model.compare(model, labeled=False, run_by="x")
    assert (same.engine, same.labeled, same.loss) == (1.0, False, 0.0)
    other = detected(BOX[None] + 60, False).compare(model, labeled=False, run_by="x")
    assert (other.engine, other.loss) == (0.0, 100.0)


def read(*texts: str) -> RecognizerResult:
    truth = ("Cat!", "dog")
    crops = tuple(CropLabel(image=PAGE, text=text) for text in truth)
    return RecognizerResult(crops=crops, texts=texts, text_scores=(1.0,) * len(texts))


def test_recognizer_loss_against_labels() -> None:
    metric = read("Cat!", "dig").compare(read("Cat!", "dog"), labeled=True, run_by="x")
    assert metric.loss == pytest.approx(100 / 7)
    assert metric.details == {
        "word_accuracy": 0.5, "baseline_word_accuracy": 1.0, "changed": 0.5,
    }  # fmt: skip


def test_recognizer_loss_without_labels_is_against_the_baseline() -> None:
    metric = read("cat", "dog").compare(read("cat", "dog"), labeled=False, run_by="x")
    assert (metric.engine, metric.baseline) == (0.0, 0.0)


def test_doubled_output_is_not_perfect() -> None:
    metric = read("Cat!Cat!", "dogdog").compare(read("Cat!", "dog"), labeled=True, run_by="x")
    assert metric.loss == pytest.approx(100)


def test_loose_accuracy_and_edits() -> None:
    result = read("cat", "dig")
    assert result.loose_word_accuracy == 0.5
    assert [result.edits(i) for i in range(2)] == [2, 1]
