"""Breakdowns: the bounds of each kind of sample, and its measures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocr_trt.bench.breakdown import _range, breakdowns
from ocr_trt.measure.detector_result import DetectorResult
from ocr_trt.measure.recognizer_result import RecognizerResult
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.ocr.metrics.detection import match_image
from ocr_trt.spec import DetectorSpec, RecognizerSpec


def lines(folder: Path, *rows: tuple[int, int, str]) -> RecognizerResult:
    """Lines of 32 rows, from (width, contrast, text)."""
    folder.mkdir()
    labels = []
    for number, (width, contrast, text) in enumerate(rows):
        image = np.full((32, width, 3), 100, np.uint8)
        image[:, ::2] += np.uint8(contrast)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        labels.append({"file": f"{number}.png", "text": text})
    (folder / "labels.json").write_text(json.dumps(labels))
    crops = load_dataset(folder).crops
    texts = tuple(crop.text for crop in crops)
    return RecognizerResult(crops=crops, texts=texts, text_scores=(1.0,) * len(texts))


def test_lines_are_grouped_by_width_contrast_and_length(
    recognizer_spec: RecognizerSpec, tmp_path: Path
) -> None:
    right = lines(
        tmp_path / "lines",
        (20, 10, "abc"), (32, 63, "abcd"), (33, 64, "abcdefg"), (64, 127, "a" * 20),
        (66, 128, "b" * 21),
    )  # fmt: skip
    wrong = RecognizerResult(
        crops=right.crops, texts=("abX", *right.texts[1:]), text_scores=right.text_scores
    )
    width, contrast, length = breakdowns({"model": right, "int8": wrong}, recognizer_spec)
    assert [(row.name, row.samples) for row in width.strata] == [
        ("up to 32", 2), ("up to 64", 2), ("over 64, squeezed to fit", 1),
    ]  # fmt: skip
    assert [(row.name, row.samples) for row in contrast.strata] == [
        ("below 64 gray levels", 2), ("64 to 127", 2), ("from 128", 1),
    ]  # fmt: skip
    assert [(row.name, row.samples) for row in length.strata] == [
        ("1 to 3", 1), ("4 to 6", 1), ("7 to 10", 1), ("11 to 20", 1), ("from 21", 1),
    ]  # fmt: skip
    assert length.columns == (
        "CER, model", "CER, int8", "word accuracy, model", "word accuracy, int8",
    )  # fmt: skip
    assert length.strata[0].shares == pytest.approx((0, 1 / 3, 1, 0))
    assert width.strata[0].shares == pytest.approx((0, 1 / 7, 1, 0.5))
    assert width.strata[1].shares == (0, 0, 1, 1)


def test_recall_is_grouped_by_height_in_the_input(
    detector_spec: DetectorSpec, images: Path
) -> None:
    """An input of 64x96 enlarges 48x80 images by 1.2, so 15 pixels become 18."""
    scenes = load_dataset(images).scenes
    nothing = np.zeros((0, 4, 2), np.float32)

    def result(*detected: np.ndarray) -> DetectorResult:
        pairs = zip(detected, scenes, strict=True)
        matchings = tuple(match_image(q, s.quads, s.ignore) for q, s in pairs)
        return DetectorResult(scenes=scenes, boxes=detected, matchings=matchings)

    perfect = result(*(scene.quads for scene in scenes))
    partial = result(scenes[0].quads, nothing, nothing)
    (table,) = breakdowns({"model": perfect, "int8": partial}, detector_spec)
    assert (table.unit, table.columns) == ("words", ("recall, model", "recall, int8"))
    (row,) = table.strata
    assert (row.name, row.samples) == ("16 to 23", 3)
    assert row.shares == pytest.approx((1, 1 / 3))


@pytest.mark.parametrize(
    ("value", "name"),
    [(0, "0"), (1, "1 to 3"), (3.99, "1 to 3"), (4, "4 to 6"), (6, "4 to 6"), (7, "from 7")],
)
def test_ranges_are_named_by_their_first_and_last(value: float, name: str) -> None:
    assert _range(value, (0, 1, 4, 7))[1] == name
