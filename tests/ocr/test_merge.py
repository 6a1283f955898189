"""Boxes of two scales: which are kept."""

from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.ocr.merge import covered_share, merge_boxes


def quads(*sides: tuple[float, float, float, float]) -> np.ndarray:
    return np.float32(
        [[[x, y], [x + w, y], [x + w, y + h], [x, y + h]] for x, y, w, h in sides]
    ).reshape(-1, 4, 2)


def test_covered_share() -> None:
    boxes = quads((0, 0, 10, 10), (20, 0, 10, 10), (50, 0, 10, 10), (0, 0, 0, 10))
    by = quads((0, 0, 5, 10), (20, 0, 10, 2), (22, 5, 4, 5), (40, 40, 9, 9))
    assert covered_share(boxes, by).tolist() == pytest.approx([0.5, 0.4, 0, 1])
    assert covered_share(boxes, quads()).tolist() == [0, 0, 0, 0]
    assert covered_share(quads(), by).tolist() == []


FINE = quads((0, 0, 40, 20), (50, 0, 40, 20))


@pytest.mark.parametrize(
    ("fine", "coarse", "kept"),
    [
        (FINE, quads(), FINE),
        (quads(), quads((0, 0, 90, 20)), quads((0, 0, 90, 20))),
        (FINE, quads((0, 0, 90, 20)), FINE),
        (FINE, quads((0, 40, 90, 19)), FINE),
        (FINE, quads((0, 40, 90, 20)), np.concatenate([FINE, quads((0, 40, 90, 20))])),
        (FINE, quads((-50, -50, 200, 100)), quads((-50, -50, 200, 100))),
        (FINE, quads((45, -50, 200, 100)), np.concatenate([FINE[:1], quads((45, -50, 200, 100))])),
    ],
    ids=[
        "nothing coarse", "nothing fine", "seen better by the finer", "too thin to be trusted",
        "not seen by the finer scale", "pieces of large text go", "only pieces inside go",
    ],
)  # fmt: skip
def test_merge(fine: np.ndarray, coarse: np.ndarray, kept: np.ndarray) -> None:
    scores = np.linspace(1, 0.5, len(fine) + len(coarse), dtype=np.float32)
    by_place = dict(zip(map(np.ndarray.tobytes, [*fine, *coarse]), scores, strict=True))
    merged, merged_scores = merge_boxes(
        (fine, scores[: len(fine)]), (coarse, scores[len(fine) :]), thinnest=20
    )
    np.testing.assert_array_equal(merged, kept)
    assert [by_place[quad.tobytes()] for quad in merged] == merged_scores.tolist()
