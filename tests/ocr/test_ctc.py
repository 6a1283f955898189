from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.ocr.ctc import best_classes, decode_greedy, log_probabilities, reading_of_classes

CHARSET = "abc"


def steps(path: str, blank: int = 0) -> np.ndarray:
    """Logits (1, T, 4) whose best classes spell ``path``; ``-`` is the blank."""
    letters = [*CHARSET[:blank], "-", *CHARSET[blank:]]
    logits = np.zeros((1, len(path), 4), np.float32)
    for step, letter in enumerate(path):
        logits[0, step, letters.index(letter)] = 9
    return logits


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("abc", "abc"),
        ("aabbcc", "abc"),
        ("a-a", "aa"),
        ("-a--b-", "ab"),
        ("----", ""),
        ("aa-aab", "aab"),
    ],
    ids=["plain", "repeats merge", "blank keeps repeats", "blanks drop", "nothing", "mixed"],
)
@pytest.mark.parametrize("blank", [0, 3], ids=["blank first", "blank last"])
def test_paths_collapse(path: str, text: str, blank: int) -> None:
    (reading,) = decode_greedy(steps(path, blank), CHARSET, blank)
    assert reading.text == text


def test_score_is_the_geometric_mean_over_characters() -> None:
    probabilities = np.float32([[[0.1, 0.8, 0.1, 0.0], [0.9, 0.05, 0.05, 0], [0.3, 0.2, 0.5, 0]]])
    (reading,) = decode_greedy(probabilities, CHARSET, 0, are_probabilities=True)
    assert reading.text == "ab"
    assert reading.score == pytest.approx(np.sqrt(0.8 * 0.5), rel=1e-6)


def test_logits_and_probabilities_agree(rng: np.random.Generator) -> None:
    logits = rng.normal(0, 3, (5, 12, 4)).astype(np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    left = decode_greedy(logits, CHARSET, 0)
    right = decode_greedy(probabilities, CHARSET, 0, are_probabilities=True)
    assert [r.text for r in left] == [r.text for r in right]
    assert [r.score for r in left] == pytest.approx([r.score for r in right], rel=1e-5)


@pytest.mark.parametrize("are_probabilities", [False, True])
def test_frames_of_a_window_read_as_a_whole_line(
    rng: np.random.Generator, are_probabilities: bool
) -> None:
    scores = rng.dirichlet(np.full(4, 0.3), (1, 30)).astype(np.float32)
    (expected,) = decode_greedy(scores, CHARSET, 0, are_probabilities=are_probabilities)
    best = best_classes(scores[0], are_probabilities=are_probabilities)
    reading = reading_of_classes(best, CHARSET, 0)
    assert reading.text == expected.text
    assert reading.score == pytest.approx(expected.score, rel=1e-5)


def test_large_logits_do_not_overflow() -> None:
    logs = log_probabilities(np.float32([[[1000, 0], [-1000, 0]]]), are_probabilities=False)
    assert np.isfinite(logs).all()
    assert logs[0, 0, 0] == 0


def test_empty_reading_scores_zero() -> None:
    (reading,) = decode_greedy(steps("--"), CHARSET, 0)
    assert (reading.text, reading.score) == ("", 0.0)


def test_wrong_class_count_is_refused() -> None:
    with pytest.raises(ValueError, match=r"5 classes.* 3 characters"):
        decode_greedy(np.zeros((1, 2, 5), np.float32), CHARSET, 0)
