from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.ocr.metrics.end_to_end import is_same_text, match_lines, match_places

BOXES = np.float32(
    [[[x, 0], [x + 50, 0], [x + 50, 20], [x, 20]] for x in (0, 100, 200)]
)  # (x, y), clockwise from the top left corner


@pytest.mark.parametrize(
    ("read", "truth", "same", "why"),
    [
        ("Exit", "Exit", True, "equal"),
        ("eXIT", "Exit", True, "case does not count"),
        ("exit", "Exit!", True, "a sign at the end may be missing"),
        ("exit", "(Exit", True, "a sign at the beginning may be missing"),
        ("exit", "(Exit)", True, "at both ends"),
        ("exit)", "(Exit)", True, "at one end of two"),
        ("exit", "Exit!!", False, "one sign only"),
        ("exit!", "Exit", False, "a sign that is not there"),
        ("exit", "Exit-", False, "a dash is no such sign"),
        ("its", "it's", False, "inside it counts"),
        ("ExitExit", "Exit", False, "doubled"),
        ("", "Exit", False, "nothing read"),
        ("STRASSE", "Straße", True, "its capital letters are these"),
        ("caf\u00e9", "CAFÉ", True, "letters beyond ASCII have a case, too"),
    ],
)
def test_texts_are_compared_by_the_rules_of_the_protocol(
    read: str, truth: str, same: bool, why: str
) -> None:
    assert is_same_text(read, truth) is same, why


@pytest.mark.parametrize(
    ("read", "texts", "ignore", "counts", "why"),
    [
        (["a", "b", "c"], ["a", "b", "c"], [False] * 3, (3, 3, 3), "all right"),
        (["a", "x", "c"], ["a", "b", "c"], [False] * 3, (2, 3, 3), "a wrong text is not found"),
        (["b", "a", "c"], ["a", "b", "c"], [False] * 3, (1, 3, 3), "right text, wrong place"),
        (["a", "x", "c"], ["a", "b", "c"], [False, True, False], (2, 2, 2), "don't care"),
        (["a", "x", "c"], ["a", None, "c"], [False] * 3, (2, 2, 2), "no text is don't care"),
        (["a", "x", "c"], ["a", "", "c"], [False] * 3, (2, 2, 2), "nor is an empty one"),
    ],
)
def test_lines_match_by_place_and_text(
    read: list[str],
    texts: list[str | None],
    ignore: list[bool],
    counts: tuple[int, int, int],
    why: str,
) -> None:
    places = match_places(BOXES, BOXES, texts, ignore)
    result = match_lines(places, read, texts).counts
    assert (result.matched, result.detected, result.truth) == counts, why


def test_wrong_text_keeps_its_match() -> None:
    """As in the organizers' script: each word is matched once, by place, whatever text was read."""
    twice = np.concatenate([BOXES[:1], BOXES[:1] + 1])
    places = match_places(twice, BOXES[:1], ["a"], [False])
    assert match_lines(places, ["x", "a"], ["a"]).counts.matched == 0


def test_image_without_text_or_detections() -> None:
    none = BOXES[:0]
    assert match_lines(match_places(none, none, [], []), [], []).counts.truth == 0
    assert match_lines(match_places(none, BOXES[:1], ["a"], [False]), [], ["a"]).counts.truth == 1
