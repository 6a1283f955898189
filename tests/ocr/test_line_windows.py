"""Windows of wide lines cover them, and joined outputs read like the output of the whole line."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_trt.ocr.crop import crop_quad
from ocr_trt.ocr.ctc import best_classes, decode_greedy, reading_of_classes
from ocr_trt.ocr.line_windows import (
    OVERLAP,
    LineWindows,
    cut_line,
    cut_quad,
    join_windows,
    windows_of_size,
)
from ocr_trt.ocr.preprocess import resize
from ocr_trt.spec import RecognizerSpec, spec_from_dict

CHARSET = "abcdefghij"


def spec_with(height: int, widths: list[int], **changes: object) -> RecognizerSpec:
    spec = spec_from_dict(
        {
            "name": "r", "role": "recognizer", "source": {"path": "m"}, "output": {"name": "y"},
            "input": {"name": "x", "shape": [1, height, max(widths), 3]},
            "buckets": widths, "charset": CHARSET, **changes,
        }
    )  # fmt: skip
    assert isinstance(spec, RecognizerSpec)
    return spec


@given(
    total=st.integers(1, 20_000),
    widths=st.lists(st.integers(8, 1600), min_size=1, max_size=4),
    height=st.integers(1, 64),
)
def test_windows_cover_every_line_with_overlap(total: int, widths: list[int], height: int) -> None:
    spec = spec_with(height, widths)
    windows = windows_of_size((height, total), spec)
    assert windows.width in widths
    if len(windows) == 1:
        assert total <= max(widths) * 1.1
        return
    spans = list(windows.spans)
    assert spans[0][0] == 0
    assert spans[-1][1] == total
    overlap = min(round(OVERLAP * height), windows.width // 2)
    for (_, end), (start, _) in pairwise(spans):
        assert end - start >= overlap
    assert all(0 < end - start <= windows.width for start, end in spans)


@pytest.mark.parametrize(
    ("total", "width", "starts"),
    [
        (320, 320, (0,)),
        (353, 256, (0, 112)),
        (500, 320, (0, 192)),
        (576, 320, (0, 256)),
        (577, 256, (0, 176, 336)),
    ],
    ids=["fits", "two narrow windows", "two wide ones", "two full ones", "three narrow windows"],
)
def test_few_narrow_windows_are_chosen(total: int, width: int, starts: tuple[int, ...]) -> None:
    windows = windows_of_size((32, total), spec_with(32, [96, 256, 320]))
    assert (windows.width, windows.starts) == (width, starts)


def test_lines_up_to_max_squeeze_are_read_whole() -> None:
    spec = spec_with(32, [320], max_squeeze=1.5)
    assert [len(windows_of_size((32, width), spec)) for width in (480, 481)] == [1, 2]


def test_windows_have_the_pixels_of_the_scaled_line(rng: np.random.Generator) -> None:
    line = rng.integers(0, 256, (20, 700, 3), dtype=np.uint8)
    windows = windows_of_size(line.shape[:2], spec_with(32, [320]))
    scaled = resize(line, 32, 1120)
    parts = cut_line(line, windows, 32)
    assert len(parts) == len(windows) > 3
    for part, (start, end) in zip(parts, windows.spans, strict=True):
        assert np.array_equal(part, scaled[:, start:end])


def test_quads_of_windows_are_crops_of_the_windows(rng: np.random.Generator) -> None:
    image = np.kron(rng.integers(0, 256, (8, 60, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    quad = np.float32([[20, 30], [1100, 50], [1099, 82], [19, 62]])
    line = crop_quad(image, quad)
    windows = windows_of_size(line.shape[:2], spec_with(32, [320]))
    parts, quads = cut_line(line, windows, 32), cut_quad(quad, windows)
    assert quads.shape == (len(windows), 4, 2)
    for part, own in zip(parts, quads, strict=True):
        crop = resize(crop_quad(image, own), *part.shape[:2])
        assert np.abs(crop.astype(int) - part).mean() < 6
    assert np.array_equal(cut_quad(quad, LineWindows(width=320, total=300)), quad[None])


def frames_of(text: str, rng: np.random.Generator, *, gaps: tuple[int, int]) -> np.ndarray:
    """Return logits (T, C) in which every character has 1 to 3 frames, and a gap before it."""
    best = []
    for character in text:
        best += [0] * int(rng.integers(*gaps)) + [1 + CHARSET.index(character)] * int(
            rng.integers(1, 4)
        )
    best += [0] * (4 + -len(best) % 4)
    logits = rng.normal(0, 0.1, (len(best), len(CHARSET) + 1)).astype(np.float32)
    logits[np.arange(len(best)), best] += rng.uniform(5, 9, len(best)).astype(np.float32)
    return logits


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("off", [0, -1, 1], ids=["exact", "one frame less", "one frame more"])
def test_joined_output_reads_like_the_whole(seed: int, off: int) -> None:
    rng = np.random.default_rng(seed)
    text = "".join(rng.choice(list(CHARSET), 100))
    whole = frames_of(text, rng, gaps=(1, 4))
    # Four columns are one frame, as in most recognizers; frames at the ends of a window are noise.
    windows = windows_of_size((32, 4 * len(whole)), spec_with(32, [160, 320]))
    outputs = []
    for start in windows.starts:
        own = np.zeros((windows.width // 4 + max(off, 0), whole.shape[1]), np.float32)
        own[:, 0] = 5
        part = whole[start // 4 : start // 4 + len(own)]
        own[: len(part)] = part
        if start:
            own[:2] = rng.normal(0, 5, own[:2].shape)
        if start != windows.starts[-1]:
            own[-2:] = rng.normal(0, 5, own[-2:].shape)
        outputs.append(own[: windows.width // 4 + off])
    joined = join_windows([best_classes(each) for each in outputs], windows, 0)
    expected = decode_greedy(whole[None], CHARSET, 0)[0]
    result = reading_of_classes(joined, CHARSET, 0)
    assert result.text == expected.text
    assert result.score == pytest.approx(expected.score, abs=1e-3)


def test_a_character_across_the_seam_is_read_once() -> None:
    # No blank at all: the windows agree only on one long character.
    whole = np.full((112, len(CHARSET) + 1), -9, np.float32)
    whole[:40, 1] = whole[40:72, 2] = whole[72:, 3] = 9
    windows = windows_of_size((32, 448), spec_with(32, [320]))
    outputs = [whole[start // 4 : start // 4 + 80] for start in windows.starts]
    joined = join_windows([best_classes(each) for each in outputs], windows, 0)
    assert reading_of_classes(joined, CHARSET, 0).text == "abc"


@pytest.mark.parametrize("are_probabilities", [False, True])
def test_best_classes_read_like_all_scores(
    are_probabilities: bool, rng: np.random.Generator
) -> None:
    scores = rng.normal(0, 3, (5, 30, len(CHARSET) + 1)).astype(np.float32)
    if are_probabilities:
        scores = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    scores[0, :, 0] = 99  # only blank
    expected = decode_greedy(scores, CHARSET, 0, are_probabilities=are_probabilities)
    for row, reading in zip(scores, expected, strict=True):
        best = best_classes(row, are_probabilities=are_probabilities)
        assert reading_of_classes(best, CHARSET, 0) == reading
