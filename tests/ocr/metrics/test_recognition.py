from __future__ import annotations

import pytest

from ocr_trt.ocr.metrics.recognition import loose, recognition_score


@pytest.mark.parametrize(
    ("read", "truth", "accuracy", "cer"),
    [
        (["abc"], ["abc"], 1.0, 0.0),
        (["abd", "x"], ["abc", "x"], 0.5, 0.25),
        (["ABC"], ["abc"], 0.0, 1.0),
        (["abcdef"], ["abc"], 0.0, 1.0),
        ([""], ["ab"], 0.0, 1.0),
        (["xyxyxy"], ["ab"], 0.0, 3.0),
        ([], [], 0.0, 0.0),
        (["a"], [""], 0.0, 1.0),
    ],
    ids=[
        "same",
        "one of four",
        "case counts",
        "insertions",
        "deletions",
        "over 1",
        "none",
        "no truth",
    ],
)
def test_scores(read: list[str], truth: list[str], accuracy: float, cer: float) -> None:
    score = recognition_score(read, truth)
    assert score.word_accuracy == pytest.approx(accuracy)
    assert score.cer == pytest.approx(cer)


def test_doubled_reading_is_not_perfect() -> None:
    assert recognition_score(["abab"], ["ab"]).cer == 1.0


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        recognition_score(["a"], ["a", "b"])


def test_loose_keeps_letters_and_digits() -> None:
    assert loose("Don't: 12-A") == "dont12a"
