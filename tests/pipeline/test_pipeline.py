"""Engines, stages, the reader and its drawings, with runners that are plain functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ocr_trt.engines.backends.base import Pictures, Runner
from ocr_trt.errors import SpecError
from ocr_trt.pipeline.draw import draw_lines
from ocr_trt.pipeline.engine import Engine
from ocr_trt.pipeline.reader import OcrReader, TextLine
from ocr_trt.pipeline.stages import detect, recognize
from ocr_trt.spec import DetectorSpec, RecognizerSpec, spec_from_dict

CHARSET = "abc"
Function = Callable[[Pictures], np.ndarray]


class FunctionRunner(Runner):
    """Runs a function; remembers the shapes it was fed and whether it was closed."""

    def __init__(self, function: Function, shape: tuple[int, int, int], max_batch: int) -> None:
        super().__init__(label="function", shape=shape, max_batch=max_batch)
        self.function, self.fed, self.closed = function, list[tuple[int, ...]](), False

    def execute(self, feed: Pictures) -> np.ndarray:
        self.fed.append(feed.shape)
        return self.function(feed)

    def close(self) -> None:
        self.closed = True


def detector_spec() -> DetectorSpec:
    spec = spec_from_dict(
        {
            "name": "d", "role": "detector", "source": {"path": "m"}, "output": {"name": "y"},
            "input": {"name": "x", "shape": [1, 64, 64, 3], "mean": [0.0], "scale": [1 / 255]},
            "boxes": {"unclip_ratio": 0.0},
        }
    )  # fmt: skip
    assert isinstance(spec, DetectorSpec)
    return spec


def recognizer_spec(max_batch: int = 4) -> RecognizerSpec:
    spec = spec_from_dict(
        {
            "name": "r", "role": "recognizer", "source": {"path": "m"}, "output": {"name": "y"},
            "input": {
                "name": "x", "shape": [1, 8, 64, 1], "color": "GREY", "mean": [0.0],
                "scale": [1.0], "max_batch": max_batch,
            },
            "charset": CHARSET, "buckets": [16, 32],
        }
    )  # fmt: skip
    assert isinstance(spec, RecognizerSpec)
    return spec


def bright_is_text(feed: Pictures) -> np.ndarray:
    return (feed.mean(1, keepdims=True) > 0.5).astype(np.float32)


def brightness_as_letter(feed: Pictures) -> np.ndarray:
    """Each line says one letter: a, b or c as its first pixel is dark, grey or bright."""
    classes = 1 + np.clip(feed[:, 0, 0, 0] // 86, 0, 2).astype(int)
    logits = np.zeros((len(feed), 4, 4), np.float32)
    logits[:, 1:3, 0] = 9
    logits[np.arange(len(feed)), 0, classes] = 9
    logits[:, 3, 0] = 9
    return logits


def engine(spec: DetectorSpec | RecognizerSpec, function: Function) -> tuple[Engine, dict]:
    made: dict[int, FunctionRunner] = {}

    def open_runner(width: int) -> Runner:
        shape = (spec.input.channels, spec.input.height, width)
        made[width] = FunctionRunner(function, shape, spec.input.max_batch)
        return made[width]

    return Engine(label=spec.name, spec=spec, open_runner=open_runner), made


def test_runners_are_opened_once_when_needed_and_closed() -> None:
    found, made = engine(recognizer_spec(), brightness_as_letter)
    with found:
        assert made == {}
        assert found.runner(16) is found.runner(16)
        assert found.runner().shape == (1, 8, 64)
        assert set(made) == {16, 64}
    assert all(runner.closed for runner in made.values())


def test_detect_gives_boxes_in_the_pixels_of_the_picture() -> None:
    picture = np.zeros((128, 64, 3), np.uint8)
    picture[40:60, 8:48] = 255
    found, _ = engine(detector_spec(), bright_is_text)
    quads, scores = detect(found, picture)
    assert quads.tolist() == [[[8, 40], [48, 40], [48, 60], [8, 60]]]
    assert scores.tolist() == [1.0]


def lines_of(widths: list[int], shades: list[int]) -> list[np.ndarray]:
    return [np.full((8, w, 3), s, np.uint8) for w, s in zip(widths, shades, strict=True)]


def test_lines_are_bucketed_batched_and_come_back_in_order() -> None:
    found, made = engine(recognizer_spec(), brightness_as_letter)
    lines = lines_of([60, 10, 30, 16, 9, 9, 9, 200], [0, 100, 200, 0, 100, 200, 0, 100])
    assert [r.text for r in recognize(found, lines)] == list("abcabcab")
    assert made[16].fed == [(4, 1, 8, 16), (1, 1, 8, 16)]
    assert made[32].fed == [(1, 1, 8, 32)]
    assert made[64].fed == [(2, 1, 8, 64)]


@pytest.mark.parametrize("max_batch", [1, 2, 16])
def test_result_does_not_depend_on_the_batch(max_batch: int, rng: np.random.Generator) -> None:
    lines = lines_of(list(rng.integers(1, 90, 20)), list(rng.integers(0, 255, 20)))
    alone, _ = engine(recognizer_spec(1), brightness_as_letter)
    batched, _ = engine(recognizer_spec(max_batch), brightness_as_letter)
    assert recognize(alone, lines) == recognize(batched, lines)


def test_nothing_to_read_is_nothing_read() -> None:
    found, made = engine(recognizer_spec(), brightness_as_letter)
    assert recognize(found, []) == []
    assert made == {}


def test_reader_reads_lines_in_reading_order() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[40:48, 4:20] = 200
    picture[4:12, 30:60] = 255
    picture[4:12, 4:20] = 255
    detector, _ = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    lines = OcrReader(detector, recognizer).read(picture)
    assert [line.quad[0].tolist() for line in lines] == [[4, 4], [30, 4], [4, 40]]
    assert [line.text for line in lines] == ["c", "c", "c"]
    assert lines[0].as_dict()["quad"] == [[4.0, 4.0], [20.0, 4.0], [20.0, 12.0], [4.0, 12.0]]


def test_reader_of_an_empty_picture_finds_nothing() -> None:
    detector, _ = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    assert OcrReader(detector, recognizer).read(np.zeros((10, 500, 3), np.uint8)) == []


def test_engines_in_the_wrong_place_are_refused() -> None:
    detector, _ = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    with pytest.raises(SpecError, match="r is a recognizer, a detector is needed"):
        OcrReader(recognizer, recognizer)
    with pytest.raises(SpecError, match="d is a detector, a recognizer is needed"):
        OcrReader(detector, detector)


@pytest.mark.parametrize("text", ["word", "", 'ctrl\n"<&>', "日本"])
def test_drawing_shows_boxes_left_and_texts_right(text: str) -> None:
    picture = np.zeros((60, 120, 3), np.uint8)
    quad = np.float32([[20, 20], [100, 20], [100, 40], [20, 40]])
    line = TextLine(quad=quad, text=text, box_score=1.0, text_score=1.0)
    drawn = draw_lines(picture, [line])
    assert drawn.shape == (60, 240, 3)
    assert (drawn[20, 20:100] != 0).any()
    assert (picture == 0).all(), "the picture itself is left alone"
    middle = drawn[22:39, 142:219]
    assert (middle < 200).any() == bool(text)
