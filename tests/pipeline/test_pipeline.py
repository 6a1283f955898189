"""Engines, stages, the reader and its drawings, with runners that are plain functions."""

from __future__ import annotations

import re
import time
from typing import Any

import numpy as np
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.runner import Batch
from ocr_trt.errors import SpecError
from ocr_trt.ocr.crop import quad_size
from ocr_trt.ocr.ctc import Reading
from ocr_trt.ocr.preprocess import resize
from ocr_trt.pipeline.clock import StageClock
from ocr_trt.pipeline.draw import draw_lines
from ocr_trt.pipeline.reader import OcrReader, ReadSettings
from ocr_trt.pipeline.scales import detect_at_scales
from ocr_trt.pipeline.stages import detect, recognize
from ocr_trt.pipeline.text_lines import TextLine
from ocr_trt.spec import BoxSettings, EastOutput
from tests.pipeline.functions import (
    bright_is_text,
    brightness_as_letter,
    detector_spec,
    engine,
    recognizer_spec,
)
from tests.pipeline.stripes import image_with, recognizer, specs


def test_runners_are_opened_once_when_needed_and_closed() -> None:
    recognizer, runners = engine(recognizer_spec(), brightness_as_letter)
    narrow = InputSize(8, 16)
    with recognizer:
        assert runners == {}
        assert recognizer.runner(narrow) is recognizer.runner(narrow)
        assert recognizer.runner().shape == (1, 8, 64)
        assert set(runners) == {narrow, InputSize(8, 64)}
    assert all(runner.closed for runner in runners.values())


def test_detect_gives_boxes_in_the_pixels_of_the_image() -> None:
    image = np.zeros((128, 64, 3), np.uint8)
    image[40:60, 8:48] = 255
    detector, _ = engine(detector_spec(), bright_is_text)
    quads, scores = detect(detector, image)
    assert quads.tolist() == [[[8, 40], [48, 40], [48, 60], [8, 60]]]
    assert scores.tolist() == [1.0]


def lines_of(widths: list[int], shades: list[int]) -> list[np.ndarray]:
    return [np.full((8, w, 3), s, np.uint8) for w, s in zip(widths, shades, strict=True)]


def test_lines_are_bucketed_batched_and_come_back_in_order() -> None:
    recognizer, runners = engine(recognizer_spec(), brightness_as_letter)
    lines = lines_of([60, 10, 30, 16, 9, 9, 9, 200], [0, 100, 200, 0, 100, 200, 0, 100])
    assert [r.text for r in recognize(recognizer, lines)] == list("abcabcab")
    assert runners[8, 16].fed == [(4, 1, 8, 16), (1, 1, 8, 16)]
    assert runners[8, 32].fed == [(1, 1, 8, 32)]
    # One line of 60 columns, and four windows of a line of 200 columns.
    assert runners[8, 64].fed == [(4, 1, 8, 64), (1, 1, 8, 64)]


def test_batches_are_as_large_as_is_good_for_the_runner() -> None:
    recognizer, runners = engine(recognizer_spec(), brightness_as_letter)
    runner = recognizer.runner(InputSize(8, 16))
    runner.runs_on_cpu, runner._output_bytes = True, 3 << 20  # as if it had many classes

    def unchanged(feed: np.ndarray) -> np.ndarray:
        runner._output_bytes = 3 << 20
        return brightness_as_letter(feed)

    runners[8, 16].function = unchanged
    lines = lines_of([10, 11, 12], [0, 100, 200])
    assert [r.text for r in recognize(recognizer, lines)] == list("abc")
    assert runners[8, 16].fed[0] == (1, 1, 8, 16)
    assert sum(shape[0] for shape in runners[8, 16].fed) == 3


def test_time_of_a_stage_inside_another_counts_once() -> None:
    clock = StageClock()
    with clock("recognize"):
        with clock("text"):
            time.sleep(0.02)
        with clock("text"):
            time.sleep(0.02)
    assert clock.seconds["text"] >= 0.04
    assert clock.seconds["recognize"] < clock.seconds["text"]


@pytest.mark.parametrize("max_batch", [1, 2, 16])
def test_result_does_not_depend_on_the_batch(max_batch: int, rng: np.random.Generator) -> None:
    lines = lines_of(list(rng.integers(1, 90, 20)), list(rng.integers(0, 255, 20)))
    alone, _ = engine(recognizer_spec(1), brightness_as_letter)
    batched, _ = engine(recognizer_spec(max_batch), brightness_as_letter)
    assert recognize(alone, lines) == recognize(batched, lines)


def test_no_lines_give_no_readings() -> None:
    recognizer, runners = engine(recognizer_spec(), brightness_as_letter)
    assert recognize(recognizer, []) == []
    assert runners == {}


@pytest.mark.parametrize("scale", [1, 3])
def test_line_of_85_characters_is_read_as_at_a_width_that_fits(
    scale: int, rng: np.random.Generator
) -> None:
    """In the stripes recognizer, every four columns are a letter or blank."""
    texts = ["".join(rng.choice(list("abc"), 85 + 10 * n)) for n in range(4)]
    spec = specs(4)[1]
    lines = [
        resize(image_with([text], (40, 3000))[8:24, 8 : 16 + 24 * 85 + 240 * n], 16 * scale, w)
        for n, text in enumerate(texts)
        if (w := scale * (8 + 24 * 85 + 240 * n))
    ]

    def read(widest: int) -> list[Reading]:
        own = spec.input.model_copy(update={"shape": (1, 8, widest, 1)})
        with Engine.from_graphs(
            lambda size: recognizer(size.width),
            spec=spec.model_copy(update={"input": own}),
            label="stripes",
        ) as stripes:
            return recognize(stripes, lines)

    cut, whole = read(64), read(2048)
    assert [reading.text for reading in cut] == texts
    assert [reading.text for reading in whole] == texts
    for one, other in zip(cut, whole, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_reader_reads_lines_in_reading_order() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[40:48, 4:20] = 200
    image[4:12, 30:60] = 255
    image[4:12, 4:20] = 255
    detector, _ = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    lines = OcrReader(detector, recognizer).read(image)
    assert [line.quad[0].tolist() for line in lines] == [[4, 4], [30, 4], [4, 40]]
    assert [line.text for line in lines] == ["c", "c", "c"]
    assert lines[0].to_dict()["quad"] == [[4.0, 4.0], [20.0, 4.0], [20.0, 12.0], [4.0, 12.0]]


def test_without_a_detector_an_image_is_one_line() -> None:
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    reader = OcrReader(None, recognizer)
    (line,) = reader.read(np.full((8, 30, 3), 200, np.uint8))
    assert (line.text, line.box_score) == ("c", 1.0)
    assert line.quad.tolist() == [[0, 0], [30, 0], [30, 8], [0, 8]]
    pages = [np.full((8, width, 3), 200, np.uint8) for width in (9, 500, 30)]
    assert list(reader.read_all(pages)) == [reader.read(page) for page in pages]
    assert reader.workers == 1


def test_a_high_line_is_read_in_its_best_direction() -> None:
    # Text runs down: its first column is the image's first row, whose pixels are dark.
    image = np.full((64, 8, 3), 255, np.uint8)
    image[:8] = 0

    def only_dark(feed: Batch) -> np.ndarray:
        logits = brightness_as_letter(feed)
        logits[feed[:, 0, 0, 0] > 100, 0, 1:] /= 9  # unsure of letters that are not dark
        return logits

    recognizer, _ = engine(recognizer_spec(), only_dark)
    (line,) = OcrReader(None, recognizer).read(image)
    assert line.text == "a"
    assert line.quad[0].tolist() in ([0, 0], [8, 0]), "it starts at the top"


def test_low_scores_are_dropped() -> None:
    image = bright_canvas(64, 64, (4, 4, 16, 8), (4, 40, 16, 8))
    image[40:48, 4:20] = 150  # probability 0.588
    detector, _ = engine(detector_spec(), lambda feed: feed.mean(1, keepdims=True))
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)

    def count(**settings: float) -> int:
        return len(OcrReader(detector, recognizer, ReadSettings(**settings)).read(image))

    assert count() == 2
    assert count(min_box_score=0.7) == 1
    assert count(min_text_score=0.9) == 2
    assert count(min_text_score=0.9999) == 0
    reader = OcrReader(detector, recognizer, ReadSettings(min_text_score=0.9999))
    assert list(reader.read_all([image])) == [[]]


def test_reader_of_an_empty_image_finds_nothing() -> None:
    detector, _ = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    assert OcrReader(detector, recognizer).read(np.zeros((10, 500, 3), np.uint8)) == []


def test_engines_in_the_wrong_place_are_refused() -> None:
    detector, _ = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    with pytest.raises(SpecError, match="r is a recognizer, expected a detector"):
        OcrReader(recognizer, recognizer)
    with pytest.raises(SpecError, match="d is a detector, expected a recognizer"):
        OcrReader(detector, detector)


@pytest.mark.parametrize("text", ["word", "", 'ctrl\n"<&>', "日本"])
def test_drawing_shows_boxes_left_and_texts_right(text: str) -> None:
    image = np.zeros((60, 120, 3), np.uint8)
    quad = np.float32([[20, 20], [100, 20], [100, 40], [20, 40]])
    line = TextLine(quad=quad, text=text, box_score=1.0, text_score=1.0)
    drawn = draw_lines(image, [line])
    assert drawn.shape == (60, 240, 3)
    assert (drawn[20, 20:100] != 0).any()
    assert (image == 0).all(), "the image itself is left alone"
    middle = drawn[22:39, 142:219]
    assert (middle < 200).any() == bool(text)


def bright_canvas(height: int, width: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    for x, y, w, h in boxes:
        image[y : y + h, x : x + w] = 255
    return image


@pytest.mark.parametrize(
    "box",
    [(10, 10, 30, 8), (20, 40, 250, 9), (60, 20, 8, 170), (40, 57, 40, 12), (290, 190, 9, 9)],
    ids=["in one tile", "over all columns", "over all rows", "over a corner", "in the last tile"],
)
@pytest.mark.parametrize("size", [(200, 300), (199, 301)])
def test_boxes_across_tiles_are_whole(
    box: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    x, y, w, h = box
    detector, runners = engine(detector_spec(), bright_is_text)
    (quads, scores), _ = detect_at_scales(detector, bright_canvas(*size, box))
    expected = [[[x, y], [x + w, y], [x + w, y + h], [x, y + h]]]
    np.testing.assert_allclose(quads, expected, atol=1e-3)
    np.testing.assert_allclose(scores, 1, atol=1e-6)
    assert len(runners[64, 64].fed) > 20


def test_maps_smaller_than_the_input_are_merged_in_place() -> None:
    def coarse(feed: Batch) -> np.ndarray:
        return bright_is_text(feed)[:, :, ::4, ::4]

    detector, _ = engine(detector_spec(), coarse)
    (quads, _), _ = detect_at_scales(detector, bright_canvas(200, 300, (20, 40, 240, 12)))
    assert quads.tolist() == [[[20, 40], [260, 40], [260, 52], [20, 52]]]


@pytest.mark.parametrize(
    ("tiles", "side", "runs"),
    [("auto", 64, 1), ("auto", 128, 1), ("auto", 136, 10), ("on", 64, 1), ("on", 65, 5),
     ("off", 640, 1)],
)  # fmt: skip
def test_tiles_are_used_when_requested(tiles: str, side: int, runs: int) -> None:
    detector, runners = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    reader = OcrReader(detector, recognizer, ReadSettings(tiles=tiles))
    (line,) = reader.read(bright_canvas(side, side, (0, 0, 40, 20)))
    assert np.abs(line.quad - [[0, 0], [40, 0], [40, 20], [0, 20]]).max() <= side / 64
    assert sum(shape[0] for shape in runners[64, 64].fed) == runs


@pytest.mark.parametrize(
    ("shades", "first"),
    [
        (np.linspace(255, 150, 50)[:, None, None], (20, 4)),
        (np.linspace(150, 255, 50)[:, None, None], (20, 54)),
        (np.linspace(150, 255, 10)[None, :, None], (30, 4)),
    ],
    ids=["not rotated", "upwards from the left side", "down from the right side"],
)
def test_rotated_text_uses_the_orientation_with_the_higher_score(
    shades: np.ndarray, first: tuple[int, int]
) -> None:
    """The score of this recognizer rises with the brightness of the first pixel."""

    def bright_is_sure(feed: Batch) -> np.ndarray:
        return brightness_as_letter(feed) * np.round(feed[:, 0, :1, :1] / 64) / 4

    image = np.zeros((64, 64, 3), np.uint8)
    image[4:54, 20:30] = shades
    detector, _ = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), bright_is_sure)
    reader = OcrReader(detector, recognizer)
    lines = reader.find(image)
    assert lines.line_numbers == (0, 0, 0)
    assert [quad_size(quad) for quad in lines.quads] == [(10, 50), (50, 10), (50, 10)]
    assert [crop.shape[:2] for crop in lines.crops] == [(50, 10), (10, 50), (10, 50)]
    (line,) = reader.read(image)
    np.testing.assert_allclose(line.quad[0], first, atol=1e-3)


def sized_reader(*sizes: tuple[int, int], **change: Any) -> tuple[OcrReader, dict]:
    """Return a reader whose detector finds bright boxes and has several input sizes."""
    update = {"sizes": tuple(InputSize(*size) for size in sizes), **change}
    detector, runners = engine(detector_spec().model_copy(update=update), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    return OcrReader(detector, recognizer, ReadSettings(tiles="off")), runners


def test_each_image_is_searched_in_the_size_that_suits_it() -> None:
    reader, runners = sized_reader((64, 128), (128, 64))
    box = (8, 8, 40, 12)
    for size, used in (((64, 64), (64, 64)), ((64, 128), (64, 128)), ((100, 60), (128, 64))):
        found = reader.read_text(bright_canvas(*size, box))
        assert found.search is not None
        assert found.search.size == used
        assert found.search.to_dict()["size"] == list(used)
        assert found.search.scale == pytest.approx(min(used[0] / size[0], used[1] / size[1]))
        assert found.lines[0].quad.tolist()[0] == pytest.approx([8, 8], abs=1.5)
        assert found.warnings == ()
    assert {size: len(runner.fed) for size, runner in runners.items()} == {
        (64, 64): 1, (64, 128): 1, (128, 64): 1,
    }  # fmt: skip


def test_tiles_have_the_size_that_costs_least() -> None:
    reader, runners = sized_reader((64, 256))
    reader.settings = ReadSettings(tiles="on")
    found = reader.read_text(bright_canvas(64, 440, (8, 8, 200, 12)))
    assert found.search is not None
    assert (found.search.scale, found.search.tiles) == (1, 2)
    assert len(runners[64, 256].fed) == 3, "the whole image, and two tiles"
    assert set(runners) == {(64, 256)}


@pytest.mark.parametrize(
    ("size", "boxes", "message"),
    [
        ((64, 64), [], ""),
        ((70, 70), [], ""),
        ((100, 100), [], "shrunk by a factor of 1.6 .*64x64.* lower than 16 .*no text was found"),
        ((100, 100), [(8, 8, 60, 20)], ""),
        ((100, 100), [(8, 8, 60, 12)], "1 of the 1 boxes"),
        ((200, 200), [(8, 8, 120, 60)], "shrunk by a factor of 3.1 .* may be missing. Search"),
        ((30, 30), [], ""),
    ],
    ids=["fits", "nearly fits", "empty", "high text", "low text", "shrunk by 3", "enlarged"],
)
def test_shrunk_images_get_a_warning(
    size: tuple[int, int], boxes: list[tuple[int, int, int, int]], message: str
) -> None:
    reader, _ = sized_reader()
    warnings = reader.read_text(bright_canvas(*size, *boxes)).warnings
    assert len(warnings) == bool(message)
    assert not message or re.search(message, warnings[0]), warnings


def test_limit_is_no_shrinking() -> None:
    reader, _ = sized_reader(limit_side=64, limit_type="max")
    assert reader.read_text(bright_canvas(200, 200)).warnings == ()


def test_image_that_is_enlarged_by_less_than_its_limit_is_not_shrunk() -> None:
    reader, _ = sized_reader(limit_side=256, limit_type="min")
    assert reader.read_text(bright_canvas(30, 30)).warnings == ()
    (warning,) = reader.read_text(bright_canvas(100, 100)).warnings
    assert "shrunk by a factor of 1.6" in warning


def test_boxes_outside_the_image_are_dropped_in_tiles_too() -> None:
    def beside(feed: Batch) -> np.ndarray:
        """State a box from 30 to 10 pixels to the left of each bright pixel, as EAST does."""
        maps = np.zeros((len(feed), 6, *feed.shape[2:]), np.float32)
        maps[:, :1] = bright_is_text(feed)
        maps[:, 1:5] = np.float32([5, -10, 5, 30])[:, None, None]  # top, right, bottom, left
        return maps

    output = EastOutput(family="east", name="y")
    # The mean score in such a box is 0.
    settings = BoxSettings(box_threshold=0)
    spec = detector_spec().model_copy(update={"output": output, "boxes": settings})
    own, _ = engine(spec, beside)
    for x, count in ((2, 0), (100, 1)):
        image = bright_canvas(128, 200, (x, 60, 6, 9))
        for max_shrink, is_tiled in ((1.0, True), (np.inf, False)):
            (quads, _), search = detect_at_scales(own, image, max_shrink=max_shrink)
            assert bool(search.tiles) is is_tiled
            assert len(quads) == count
