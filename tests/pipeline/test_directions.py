"""Lines whose text does not run to the right: the classifier, reading both ways, the page order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ocr_trt.engines.engine import Engine
from ocr_trt.engines.runner import Batch
from ocr_trt.errors import SpecError, UserError
from ocr_trt.ocr.classifier import ClassifierRole, class_probabilities, classifier_input
from ocr_trt.ocr.crop import quad_of_text, turned, turned_back, ways_to_read
from ocr_trt.ocr.ctc import Reading
from ocr_trt.pipeline.directions import with_directions
from ocr_trt.pipeline.reader import OcrReader, ReadSettings
from ocr_trt.pipeline.stages import classify
from ocr_trt.pipeline.text_lines import TextLine, cut_lines, text_lines
from ocr_trt.spec import ClassifierSpec, spec_from_dict
from tests.pipeline.functions import bright_is_text, detector_spec, engine, recognizer_spec


def classifier_spec(**change: Any) -> ClassifierSpec:
    spec = spec_from_dict(
        {
            "name": "c", "role": "classifier", "source": {"path": "m"}, "output": {"name": "y"},
            "input": {
                "name": "x", "shape": [1, 8, 32, 3], "mean": [0.0], "scale": [1.0], "max_batch": 4,
            },
            **change,
        }
    )  # fmt: skip
    assert isinstance(spec, ClassifierSpec)
    return spec


def red_end(feed: Batch) -> np.ndarray:
    """Return the angle of a crop whose text begins at its red side, with 4 classes."""
    sides = [feed[:, 0, :, 0], feed[:, 0, 0], feed[:, 0, :, -1], feed[:, 0, -1]]
    # Begins left: 0 degrees; at the top: 90 (runs down); right: 180; at the bottom: 270.
    scores = np.stack([side.mean(1) for side in sides], 1) + 1e-3
    best = (scores == scores.max(1, keepdims=True)).astype(np.float32)
    return best * 0.96 + 0.01


def red_end_of_two(feed: Batch) -> np.ndarray:
    four = red_end(feed)
    two = np.where((four[:, 2] > four[:, 0])[:, None], [0.02, 0.98], [0.98, 0.02])
    return two.astype(np.float32)


def four() -> Engine:
    return engine(classifier_spec(angles=[0, 90, 180, 270], fit="stretch"), red_end)[0]


def two() -> Engine:
    return engine(classifier_spec(fit="stretch"), red_end_of_two)[0]


def red_at_the_start() -> np.ndarray:
    """Return an upright line (8, 32, 3) that is red at its left side."""
    line = np.full((8, 32, 3), 40, np.uint8)
    line[:, :4] = (255, 0, 0)
    return line


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_turning_is_undone_and_corners_follow(angle: Any) -> None:
    line = red_at_the_start()
    crop = turned(line, angle)
    assert np.array_equal(turned_back(crop, angle), line)
    # Where the text's top left corner is after the turn: marked by the one white pixel.
    line = np.zeros((4, 6, 3), np.uint8)
    line[0, 0] = 255
    crop = turned(line, angle)
    height, width = crop.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    x, y = quad_of_text(corners, angle)[0]
    assert crop[min(int(y), height - 1), min(int(x), width - 1)].all()


def test_two_and_four_classes_state_angles_and_one_sigmoid_is_the_second_class() -> None:
    lines = [turned(red_at_the_start(), angle) for angle in (0, 90, 180, 270)]
    assert [each.angle for each in classify(four(), lines)] == [0, 90, 180, 270]
    assert [each.angle for each in classify(two(), lines)][::2] == [0, 180]
    logits = classifier_spec(output={"name": "y", "kind": "logits"})
    assert class_probabilities(np.float32([[0.0], [9e9]]), logits).tolist() == [[0.5, 0.5], [0, 1]]
    assert class_probabilities(np.float32([[0.25]]), classifier_spec()).tolist() == [[0.75, 0.25]]
    nan = class_probabilities(np.float32([[np.nan, 1]]), logits)
    assert np.isfinite(nan).all()


def test_a_crop_is_padded_or_stretched() -> None:
    square = [np.full((8, 8, 3), 200, np.uint8)]
    padded = classifier_input(square, classifier_spec())[0, 0]
    assert (padded[:, :8] == 200).all()
    assert (padded[:, 8:] == 127).all()
    assert (classifier_input(square, classifier_spec(fit="stretch")) == 200).all()


def page(angle: Any, count: int = 3) -> np.ndarray:
    """Return a page of lines, each red at its start, that is turned."""
    image = np.zeros((64, 64, 3), np.uint8)
    for index in range(count):
        image[4 + 20 * index : 12 + 20 * index, 8:56] = 40
        image[4 + 20 * index : 12 + 20 * index, 8:14] = (255, 0, 0)
    return turned(image, angle)


def page_boxes(angle: Any, count: int = 3) -> np.ndarray:
    """Return the boxes of :func:`page` as a detector returns them: clockwise from top left."""
    boxes = []
    for index in range(count):
        left, top, right, bottom = 8, 4 + 20 * index, 56, 12 + 20 * index
        if angle == 180:
            left, top, right, bottom = 64 - right, 64 - bottom, 64 - left, 64 - top
        elif angle == 90:
            left, top, right, bottom = 64 - bottom, left, 64 - top, right
        elif angle == 270:
            left, top, right, bottom = top, 64 - right, bottom, 64 - left
        boxes.append([[left, top], [right, top], [right, bottom], [left, bottom]])
    return np.float32(boxes)


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
@pytest.mark.parametrize("classifier", [two, four])
def test_crops_of_a_turned_page_are_upright(angle: Any, classifier: Any) -> None:
    lines = cut_lines(page(angle), page_boxes(angle), np.ones(3, np.float32))
    found = with_directions(classifier(), lines)
    upright = [
        crop for crop in found.crops if crop.shape[1] > crop.shape[0] and crop[:, 0, 0].min() > 200
    ]
    assert len(upright) == 3
    assert all(crop[:, -1, 0].max() < 200 for crop in upright)
    # The first corner of the quad is at the red side, too.
    for crop, quad in zip(found.crops, found.quads, strict=True):
        if crop.shape[1] > crop.shape[0]:
            x, y = (quad[0] * 0.9 + quad[2] * 0.1).astype(int)
            assert page(angle)[y, x].tolist() == [255, 0, 0]
    # A classifier of four angles leaves one crop per line; one of two also keeps upright letters.
    expected = 6 if angle in (90, 270) and classifier is two else 3
    assert len(found.crops) == expected


def test_unsure_crops_and_those_against_most_others_are_read_both_ways() -> None:
    unsure = engine(classifier_spec(), lambda feed: np.float32([[0.2, 0.8]] * len(feed)))[0]
    lines = cut_lines(page(0), page_boxes(0), np.ones(3, np.float32))
    assert with_directions(unsure, lines).line_numbers == (0, 0, 1, 1, 2, 2)
    image = page(0)
    image[24:32] = image[24:32, ::-1]  # the second line is upside down
    one = with_directions(two(), cut_lines(image, page_boxes(0), np.ones(3, np.float32)))
    assert one.line_numbers == (0, 1, 1, 2)
    none = with_directions(two(), cut_lines(image, page_boxes(0)[:0], np.ones(0, np.float32)))
    assert none.crops == ()


def red_is_a(feed: Batch) -> np.ndarray:
    """Read a in a line that begins with bright pixels, else b, which is less sure."""
    logits = np.zeros((len(feed), 4, 4), np.float32)
    logits[:, :, 0] = 9
    begins = feed[:, 0, :, 0].mean(1) > 60
    logits[:, 0, 0] = 0
    logits[begins, 0, 1] = 9
    logits[~begins, 0, 2] = 3
    return logits


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_readers_read_turned_pages_with_a_classifier_or_both_ways(angle: Any) -> None:
    detector, _ = engine(detector_spec(), lambda feed: bright_is_text(feed * 6))
    recognizer, _ = engine(recognizer_spec(), red_is_a)
    image = page(angle)
    for extra in ({"classifier": two()}, {"settings": ReadSettings(both_ways=True)}):
        reader = OcrReader(detector, recognizer, **extra)
        lines = reader.read(image)
        assert [line.text for line in lines] == ["a", "a", "a"]
        # In the order of the text: the first line is that at the top of the upright page.
        tops = [line.quad[0] @ {0: (0, 1), 90: (-1, 0), 180: (0, -1), 270: (1, 0)}[angle]
                for line in lines]  # fmt: skip
        assert tops == sorted(tops)
        assert list(reader.read_all([image])) == [lines]
    texts = [line.text for line in OcrReader(detector, recognizer).read(image)]
    assert texts == (["b", "b", "b"] if angle == 180 else ["a", "a", "a"])


def test_lines_alone_are_turned() -> None:
    recognizer, _ = engine(recognizer_spec(), red_is_a)
    line = turned(red_at_the_start(), 180)
    for extra in ({"classifier": two()}, {"settings": ReadSettings(both_ways=True)}):
        (read,) = OcrReader(None, recognizer, **extra).read(line)
        assert read.text == "a"
        assert read.quad.tolist() == [[32, 8], [0, 8], [0, 0], [32, 0]]


def test_engines_of_another_role_and_both_options_are_refused() -> None:
    detector, _ = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), red_is_a)
    with pytest.raises(SpecError, match="is a recognizer, expected a classifier"):
        OcrReader(detector, recognizer, classifier=recognizer)
    with pytest.raises(UserError, match="exclude each other"):
        OcrReader(detector, recognizer, ReadSettings(both_ways=True), classifier=two())


def test_a_page_in_two_directions_keeps_the_order_of_its_boxes() -> None:
    lines = cut_lines(page(0), page_boxes(0, 2), np.ones(2, np.float32))
    readings = [Reading(text="abc", score=1.0), Reading(text="abc", score=1.0)]
    kept = text_lines(lines, readings)
    assert [line.quad[0, 1] for line in kept] == [4, 24]
    assert all(isinstance(line, TextLine) for line in kept)
    assert [*ways_to_read(page_boxes(0)[0], both_ways=True)] == [0, 180]
    assert [*ways_to_read(page_boxes(90)[0], both_ways=True)] == [0, 90, 270, 180]


def test_outputs_are_compared_and_described() -> None:
    role = ClassifierRole(classifier_spec())
    sure, other = np.float32([[1, 0]]), np.float32([[0.5, 0.5]])
    assert role.output_distance([sure], [sure]) == 0
    assert role.output_distance([sure], [other]) == pytest.approx(np.log(2), abs=1e-6)
    prepared = role.input_of(red_at_the_start())
    assert prepared.tensor.shape == (1, 3, 8, 32)
    role.check_output_shape((0, 2), role.spec.input.size)
    role.check_output_shape((0, 1), role.spec.input.size)
    for shape in ((0, 3), (0, 2, 1), (5, 2)):
        with pytest.raises(SpecError, match=r"angles|shape"):
            role.check_output_shape(shape, role.spec.input.size)
