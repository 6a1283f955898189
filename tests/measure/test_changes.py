"""Changes from the baseline: the samples, better or worse, the p-value, and the samples shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ocr_trt.measure import changes as changes_module
from ocr_trt.measure.changes import changes, sign_test
from ocr_trt.measure.detector_result import DetectorResult
from ocr_trt.measure.recognizer_result import RecognizerResult
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.ocr.metrics.detection import match_image


@pytest.mark.parametrize(
    ("worse", "better", "p_value"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (3, 3, 1.0),
        (9, 5, 0.4239501953125),
        (1, 9, 0.021484375),
        (0, 6, 0.03125),
        (600, 400, 2.728e-10),
    ],
)
def test_sign_test_is_the_exact_binomial_test(worse: int, better: int, p_value: float) -> None:
    """Expected: scipy.stats.binomtest."""
    assert sign_test(worse, better) == pytest.approx(p_value, rel=1e-3)
    assert sign_test(better, worse) == sign_test(worse, better)


def read(images: Path, *texts: str) -> RecognizerResult:
    return RecognizerResult(
        crops=load_dataset(images).crops, texts=texts, text_scores=(1.0,) * len(texts)
    )


def detected(images: Path, *boxes: list[int]) -> DetectorResult:
    """Boxes (x, y, width, height), one per image; an empty list detects nothing."""
    scenes = load_dataset(images).scenes
    quads = tuple(
        np.float32([[[x, y], [x + w, y], [x + w, y + h], [x, y + h]]])
        if box and (x := box[0], y := box[1], w := box[2], h := box[3])
        else np.zeros((0, 4, 2), np.float32)
        for box in boxes
    )
    matchings = tuple(match_image(q, s.quads, s.ignore) for q, s in zip(quads, scenes, strict=True))
    return DetectorResult(scenes=scenes, boxes=quads, matchings=matchings)


RIGHT = [5, 5, 40, 15]


def test_words_are_worse_by_edits(images: Path) -> None:
    baseline = read(images, "word0", "wordX", "wXYZ2")
    engine = read(images, "w0rd0", "word1", "wXYQ2")
    rows = engine.changed_from(baseline)
    assert [(row.index, row.loss, row.change) for row in rows] == [
        (0, 1, "worse"), (1, -1, "better"), (2, 0, "neither"),
    ]  # fmt: skip
    result = changes(engine, baseline, labeled=True)
    assert (result.samples, result.changed) == (3, 3)
    assert (result.worse, result.better, result.neither, result.p_value) == (1, 1, 1, 1.0)
    assert [(s.change, s.truth, s.baseline, s.engine) for s in result.shown] == [
        ("worse", "word0", "word0", "w0rd0"),
        ("neither", "word2", "wXYZ2", "wXYQ2"),
        ("better", "word1", "wordX", "word1"),
    ]
    assert all(s.image.startswith("data:image/jpeg;base64,") for s in result.shown)


def test_images_are_worse_by_missed_words_and_wrong_boxes(images: Path) -> None:
    baseline = detected(images, RIGHT, [], RIGHT)
    engine = detected(images, [50, 30, 20, 10], RIGHT, [6, 5, 40, 15])
    result = changes(engine, baseline, labeled=True)
    assert (result.unit, result.worse, result.better, result.neither) == ("images", 1, 1, 0)
    assert [(s.change, s.engine) for s in result.shown] == [
        ("worse", "0 of 1 found, 1 wrong"),
        ("better", "1 of 1 found, 0 wrong"),
    ]


def test_nothing_changed(images: Path) -> None:
    same = read(images, "word0", "x", "y")
    result = changes(same, same, labeled=True)
    assert (result.changed, result.p_value, result.shown) == (0, 1.0, ())


def test_there_is_no_p_value_without_labels(images: Path) -> None:
    result = changes(read(images, "a", "b", "c"), read(images, "a", "b", "d"), labeled=False)
    assert (result.changed, result.p_value) == (1, None)


def test_images_shown_have_a_limit(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    baseline, engine = read(images, "a", "b", "c"), read(images, "x", "y", "z")
    monkeypatch.setitem(changes_module._MAX_SHOWN, "words", 2)
    result = changes(engine, baseline, labeled=True)
    assert (result.changed, len(result.shown)) == (3, 2)
    monkeypatch.setattr(changes_module, "_MAX_CHARACTERS", len(result.shown[0].image))
    assert len(changes(engine, baseline, labeled=True).shown) == 1


def test_long_texts_are_cut(images: Path) -> None:
    crops = tuple(replace(crop, text="y" * 9999) for crop in load_dataset(images).crops)
    engine, baseline = (replace(read(images, *t), crops=crops) for t in ("abc", "xbc"))
    (shown,) = changes(engine, baseline, labeled=True).shown
    assert len(shown.truth) == 301
