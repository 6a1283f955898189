"""Polygons around curved text: found in maps, cut out and bent straight."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely

from ocr_trt.ocr.boxes import boxes_from_map
from ocr_trt.ocr.craft import boxes_from_craft
from ocr_trt.ocr.crop import crop_outline, crop_quad, quad_of_text, quad_size, ways_to_read
from ocr_trt.ocr.curved_text import POINTS
from ocr_trt.ocr.merge import covered_share, merge_boxes
from ocr_trt.ocr.outlines import (
    columns_of,
    corners_of,
    is_curved,
    level_quads,
    padded,
    rectangle_around,
    without_repetitions,
)
from ocr_trt.ocr.reading_order import reading_order
from ocr_trt.spec import BoxSettings, spec_from_dict
from tests.ocr.curved_lines import CURVES, along_curve, likeness, shrunk_map, text_strip

QUAD = BoxSettings(shrink_ratio=0.4)
POLYGON = BoxSettings(shrink_ratio=0.4, shape="polygon")


def iou(one: np.ndarray, other: np.ndarray) -> float:
    a, b = (shapely.Polygon(each).buffer(0) for each in (one, other))
    return a.intersection(b).area / a.union(b).area


@pytest.fixture(scope="module")
def strip() -> np.ndarray:
    return text_strip("Curved TEXT on 3 arcs, 47.50")


@pytest.mark.parametrize("height", [30, 50])
@pytest.mark.parametrize("name", CURVES)
def test_a_curved_line_is_found_and_bent_straight(
    name: str, height: int, strip: np.ndarray
) -> None:
    line = along_curve(strip, CURVES[name], height, points=200)
    probability = shrunk_map([line.polygon], line.image.shape[:2])
    boxes, scores = boxes_from_map(probability, POLYGON)
    assert boxes.shape == (1, POINTS, 2)
    assert scores.tolist() == pytest.approx([0.95], abs=0.05)
    assert shapely.Polygon(boxes[0]).is_valid
    assert iou(boxes[0], line.polygon) > 0.9
    # The first corner is where the text begins, and the corners are clockwise.
    assert np.abs(corners_of(boxes[0]) - corners_of(line.polygon)).max() < 0.45 * height
    crop = crop_outline(line.image, boxes[0])
    # The ends may be wrong by a quarter of the height, which shifts letters.
    shifted = max(likeness(np.roll(crop, step, 1), strip) for step in range(-9, 10))
    assert shifted > 0.75
    (quad,), _ = boxes_from_map(probability, QUAD)
    assert iou(quad, line.polygon) < 0.45 and likeness(crop_quad(line.image, quad), strip) < 0.3


@pytest.mark.parametrize("name", CURVES)
def test_the_crop_of_a_known_polygon_is_the_straight_line(name: str, strip: np.ndarray) -> None:
    line = along_curve(strip, CURVES[name], 40, points=POINTS)
    crop = crop_outline(line.image, line.polygon)
    height, width = crop.shape[:2]
    assert abs(height - 40) <= 1
    assert width == pytest.approx(quad_size(line.polygon)[0], abs=1)
    assert likeness(crop, strip) > 0.985
    # The same text from the other end is upside down.
    back = crop_outline(line.image, quad_of_text(line.polygon, 180))
    np.testing.assert_allclose(back[::-1, ::-1].astype(int), crop.astype(int), atol=40)
    assert likeness(back[::-1, ::-1], strip) > 0.985


def test_straight_lines_are_those_of_quads() -> None:
    probability = np.zeros((300, 400), np.float32)
    for x, y, width, height, angle in (
        (100, 60, 120, 10, 0), (280, 80, 130, 12, 20), (100, 180, 150, 9, -30),
        (300, 230, 14, 90, 3), (200, 260, 12, 12, 0), (10, 250, 60, 10, 45),
    ):  # fmt: skip
        corners = cv2.boxPoints(((x, y), (width, height), angle))
        cv2.fillPoly(probability, [np.round(corners).astype(np.int32)], 0.9)
    for settings in (QUAD, BoxSettings(score_mode="fast"), BoxSettings(dilate=True)):
        quads, scores = boxes_from_map(probability, settings)
        polygon = settings.model_copy(update={"shape": "polygon"})
        boxes, theirs = boxes_from_map(probability, polygon)
        assert not any(map(is_curved, boxes))
        np.testing.assert_array_equal(corners_of(boxes), quads)
        np.testing.assert_array_equal(scores, theirs)
        image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
        for box, quad in zip(boxes, quads, strict=True):
            np.testing.assert_array_equal(crop_outline(image, box), crop_quad(image, quad))
            ours = ways_to_read(box, both_ways=True)
            for angle, way in ways_to_read(quad, both_ways=True).items():
                np.testing.assert_array_equal(corners_of(ours.pop(angle)), way)
            assert not ours
        order = reading_order(level_quads(boxes))
        np.testing.assert_array_equal(order, reading_order(quads))


def shapes() -> dict[str, np.ndarray]:
    canvas = {name: np.zeros((200, 300), np.float32) for name in ("ring", "blob", "fork", "dot")}
    cv2.circle(canvas["ring"], (150, 100), 60, 0.9, 10)
    cv2.circle(canvas["blob"], (150, 100), 60, 0.9, -1)
    for end in ((20, 20), (280, 20), (150, 190)):
        cv2.line(canvas["fork"], (150, 100), end, 0.9, 12)
    canvas["dot"][100, 100] = 0.9
    canvas["angle"] = np.zeros((200, 300), np.float32)
    cv2.polylines(canvas["angle"], [np.int32([[20, 20], [20, 180], [280, 180]])], False, 0.9, 9)
    canvas["all"] = np.full((200, 300), 0.9, np.float32)
    canvas["nan"] = np.full((200, 300), np.nan, np.float32)
    noise = np.random.default_rng(3).random((200, 300)).astype(np.float32)
    canvas["noise"] = cv2.GaussianBlur(noise, (0, 0), 3) * 3 - 1
    canvas["fine noise"] = noise
    return canvas


@pytest.mark.parametrize("name", shapes())
@pytest.mark.parametrize("min_side", [0.0, 2.0])
def test_regions_that_are_no_lines_have_valid_boxes(name: str, min_side: float) -> None:
    settings = BoxSettings(shape="polygon", box_threshold=0.0, min_side=min_side)
    boxes, scores = boxes_from_map(shapes()[name], settings)
    assert boxes.shape == (len(scores), POINTS, 2) and np.isfinite(boxes).all()
    assert (boxes >= 0).all() and (boxes <= (300, 200)).all()
    image = np.zeros((200, 300, 3), np.uint8)
    for box in boxes:
        assert crop_outline(image, box).size
        assert min(quad_size(box)) >= 0
    assert sorted(reading_order(level_quads(boxes))) == list(range(len(boxes)))
    assert (covered_share(boxes, boxes) > 0.99).all()


def test_thin_curved_regions_are_dropped() -> None:
    probability = np.zeros((200, 300), np.float32)
    cv2.ellipse(probability, (150, 150), (120, 100), 0, 190, 350, 0.9, 4)
    for min_side, count in ((2, 1), (12, 0)):
        settings = POLYGON.model_copy(update={"min_side": min_side})
        assert len(boxes_from_map(probability, settings)[0]) == count


def test_the_score_is_the_mean_in_the_region() -> None:
    probability = np.zeros((200, 300), np.float32)
    cv2.ellipse(probability, (150, 150), (120, 100), 0, 190, 350, 0.9, 12)
    fast = POLYGON.model_copy(update={"score_mode": "fast", "box_threshold": 0.8})
    (_,), (score,) = boxes_from_map(probability, fast)
    assert score == pytest.approx(0.9, abs=0.02)
    (_,), (score,) = boxes_from_map(
        probability, fast.model_copy(update={"shape": "quad", "box_threshold": 0.0})
    )
    assert score < 0.6, "the rectangle around a curved line is half empty"


def test_slightly_bent_lines_are_kept_as_quads() -> None:
    probability = np.zeros((200, 400), np.float32)
    bent = np.stack([np.arange(20, 381), 60 + 12 * np.cos(np.linspace(-1.5, 1.5, 361))], 1)
    cv2.polylines(probability, [np.round(bent).astype(np.int32)], False, 0.9, 12)
    fast = POLYGON.model_copy(update={"score_mode": "fast", "box_threshold": 0.8})
    (box,), (score,) = boxes_from_map(probability, fast)
    assert not is_curved(box) and score == pytest.approx(0.9, abs=0.02)
    quads, _ = boxes_from_map(probability, fast.model_copy(update={"shape": "quad"}))
    assert not len(quads), "its rectangle is half empty"


def test_craft_returns_polygons_of_curved_words() -> None:
    maps = np.zeros((2, 200, 300), np.float32)
    y, x = np.mgrid[:200, :300]
    for channel, angles in ((0, range(200, 341, 20)), (1, range(210, 331, 20))):
        for angle in np.deg2rad(angles):
            center = 150 + 110 * np.cos(angle), 150 + 110 * np.sin(angle)
            distance = ((x - center[0]) ** 2 + (y - center[1]) ** 2) / 18**2
            maps[channel] = np.maximum(maps[channel], np.exp(-2.48 * distance))
    settings = BoxSettings(threshold=0.4, box_threshold=0.7, shape="polygon")
    (box,), _ = boxes_from_craft(maps[0], maps[1], settings)
    assert is_curved(box)
    # A band around the arc through the centers, as high as a character.
    radii = np.linalg.norm(columns_of(box) - (150, 150), axis=-1).mean(0)
    assert radii == pytest.approx([126, 94], abs=6)
    straight, _ = boxes_from_craft(maps[0], np.zeros_like(maps[1]), settings)
    assert len(straight) == 8 and not any(map(is_curved, straight))


def test_east_has_no_polygons() -> None:
    spec = {
        "name": "d", "role": "detector", "source": {"path": "m"}, "boxes": {"shape": "polygon"},
        "input": {"name": "x", "shape": [1, 64, 64, 3]}, "output": {"name": "y", "family": "east"},
    }  # fmt: skip
    with pytest.raises(Exception, match=r"boxes\.shape is polygon.*east.*quad"):
        spec_from_dict(spec)


def test_outlines_of_different_lengths_share_an_array() -> None:
    quad = np.float32([[0, 0], [9, 1], [9, 5], [0, 4]])
    curve = along_curve(text_strip("a"), CURVES["bow"], 30, points=10).polygon
    for outline in (quad, curve):
        for each in (padded(outline, POINTS), padded(padded(outline, 12), POINTS)):
            assert each.shape == (POINTS, 2)
            np.testing.assert_array_equal(without_repetitions(each), outline)
            np.testing.assert_array_equal(corners_of(each), corners_of(outline))
            assert is_curved(each) is (outline is curve)
            back = quad_of_text(quad_of_text(each, 180), 180)
            np.testing.assert_array_equal(without_repetitions(back), outline)
            assert quad_size(each) == pytest.approx(quad_size(outline))
            assert shapely.Polygon(each).area == pytest.approx(shapely.Polygon(outline).area)
    assert len(without_repetitions(np.full((POINTS, 2), 7, np.float32))) == 4


@pytest.mark.parametrize("name", CURVES)
def test_the_rectangle_around_begins_where_the_text_does(name: str) -> None:
    line = along_curve(text_strip("text"), CURVES[name], 30)
    quad = rectangle_around(line.polygon)
    assert shapely.Polygon(quad).buffer(0.1).covers(shapely.Polygon(line.polygon))
    middles = columns_of(line.polygon).mean(1)
    assert (quad[1] - quad[0]) @ (middles[-1] - middles[0]) > 0
    # Clockwise, as y points down.
    x, y = quad.T
    assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0


def test_steep_lines_are_read_both_ways() -> None:
    strip = text_strip("text")
    level, steep = (along_curve(strip, CURVES[name], 30).polygon for name in ("bow", "falling"))
    assert list(ways_to_read(level)) == [0] and list(ways_to_read(steep)) == [0, 180]
    assert list(ways_to_read(level, both_ways=True)) == [0, 180]
    there, back = ways_to_read(steep).values()
    np.testing.assert_array_equal(there, steep)
    np.testing.assert_array_equal(corners_of(back), np.roll(corners_of(steep), 2, axis=0))


def test_curved_lines_are_ordered_by_their_center() -> None:
    strip, shift = text_strip("text"), np.float32([0, 60])
    arch = along_curve(strip, CURVES["bow"], 30, POINTS).polygon
    # An arch between two straight lines, of which the lower one is above the arch's lowest point.
    width = np.float32([[60, 150], [480, 150], [480, 180], [60, 180]])
    boxes = np.stack([arch + shift, padded(width + 2 * shift, POINTS), arch])
    assert reading_order(level_quads(boxes)).tolist() == [2, 0, 1]


def test_curved_boxes_of_two_scales_are_merged() -> None:
    line = along_curve(text_strip("text"), CURVES["arch"], 30, POINTS)
    one = np.ones(1, np.float32)
    inner = np.float32([[200, 200], [340, 200], [340, 240], [200, 240]])
    inside = padded(inner, POINTS)[None]
    assert covered_share(line.polygon[None], line.polygon[None]) == pytest.approx(1)
    # The hull of the arch covers what is below it, but the arch does not.
    assert covered_share(inside, line.polygon[None]) == pytest.approx(0)
    boxes, _ = merge_boxes((line.polygon[None], one), (inside, one), 1.0)
    assert len(boxes) == 2


def test_lines_wider_than_opencv_allows_are_cut_out() -> None:
    columns = 40_000
    image = np.zeros((60, columns, 3), np.uint8)
    image[:, :, 0] = np.arange(columns) // 200
    x = np.linspace(0, columns, 16)
    top = np.stack([x, 10 + 5 * np.sin(x / 5000)], 1)
    box = np.concatenate([top, top[::-1] + np.array([0, 20])]).astype(np.float32)
    crop = crop_outline(image, box)
    assert crop.shape == (20, columns, 3)
    assert np.abs(crop[10, :, 0].astype(int) - image[10, :, 0]).max() <= 1


def test_outlines_outside_the_image_repeat_its_border() -> None:
    image = np.full((50, 60, 3), 80, np.uint8)
    line = along_curve(text_strip("text"), CURVES["arch"], 30).polygon
    for move in ((1000, 0), (-5000, -5000), (0, 300)):
        crop = crop_outline(image, line + np.float32(move))
        assert crop.shape[2] == 3 and (crop == 80).all()
    assert crop_outline(image[..., 0], line).ndim == 2
