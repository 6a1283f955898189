"""Boxes from the maps that perfect networks of each family would return for known boxes."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.errors import SpecError
from ocr_trt.ocr.craft import boxes_from_craft
from ocr_trt.ocr.detector import DetectorRole
from ocr_trt.ocr.detector_maps import boxes_from_maps, maps_from_output, text_map
from ocr_trt.ocr.east import boxes_from_east, merged_along_rows, overlap, quads_at_pixels
from ocr_trt.spec import (
    BoxSettings,
    CraftOutput,
    DetectorSpec,
    EastOutput,
    MapOutput,
    dump_spec,
    spec_from_dict,
)

SIZE, STRIDE = (352, 480), 4
EAST = BoxSettings(threshold=0.8, box_threshold=0.1, min_side=1)
CRAFT = BoxSettings(threshold=0.4, box_threshold=0.7)


def quad_at(x: float, y: float, width: float, height: float, degrees: float) -> np.ndarray:
    """Return a rectangle whose text rises to the right by an angle."""
    angle = math.radians(degrees)
    along = np.array([math.cos(angle), -math.sin(angle)])
    down = np.array([math.sin(angle), math.cos(angle)])
    center = np.array([x, y])
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.float32([center + a * along * width / 2 + b * down * height / 2 for a, b in signs])


QUADS = [
    quad_at(100, 60, 140, 30, 0),
    quad_at(300, 80, 160, 36, 20),
    quad_at(120, 200, 180, 28, -30),
    quad_at(400, 250, 60, 24, 5),
    quad_at(300, 260, 40, 120, 0),
]


def east_maps(kind: str) -> np.ndarray:
    """Draw the maps of EAST (1 + 5 or 8, h, w), as training computes them from boxes."""
    maps = np.zeros((6 if kind == "rbox" else 9, SIZE[0] // STRIDE, SIZE[1] // STRIDE), np.float32)
    for quad in QUADS:
        shrunk = (quad.mean(0) + 0.6 * (quad - quad.mean(0))).astype(np.float32)
        sides = quad[1] - quad[0], quad[3] - quad[0]
        width, height = (float(np.linalg.norm(side)) for side in sides)
        along, down = sides[0] / width, sides[1] / height
        for y, x in np.ndindex(*maps.shape[1:]):
            point = np.float32([x * STRIDE, y * STRIDE])
            if cv2.pointPolygonTest(shrunk, point.tolist(), False) < 0:
                continue
            maps[0, y, x] = 0.95
            if kind == "quad":
                maps[1:, y, x] = (quad - point).ravel()
                continue
            right, below = (point - quad[0]) @ along, (point - quad[0]) @ down
            angle = math.atan2(-along[1], along[0])
            maps[1:, y, x] = (below, width - right, height - below, right, angle)
    return maps


def craft_maps() -> np.ndarray:
    """Draw the maps of CRAFT (2, h, w) at half the size: Gaussians of characters and of gaps."""
    maps = np.zeros((2, SIZE[0] // 2, SIZE[1] // 2), np.float32)
    y, x = np.mgrid[: maps.shape[1], : maps.shape[2]]
    points = np.stack([x, y], -1) * 2.0 + 1  # centers of the map's pixels
    for quad in QUADS[:4]:
        sides = quad[1] - quad[0], quad[3] - quad[0]
        width, height = (float(np.linalg.norm(side)) for side in sides)
        count = max(2, round(width / height))
        right = (points - quad[0]) @ (sides[0] / width)
        below = (points - quad[0]) @ (sides[1] / height)
        for channel, centers in ((0, np.arange(count) + 0.5), (1, np.arange(1, count))):
            for center in centers * width / count:
                # CRAFT-pytorch trains on exp(-(3.34 d)^2 / 2) in characters grown by half.
                d = ((right - center) / (width / count / 2)) ** 2 + (below / (height / 2) - 1) ** 2
                maps[channel] = np.maximum(maps[channel], np.exp(-2.48 * d))
    return maps


def matches(found: np.ndarray, expected: list[np.ndarray]) -> list[float]:
    return [max((overlap(each, quad) for each in found), default=0.0) for quad in expected]


@pytest.mark.parametrize("kind", ["rbox", "quad"])
def test_east_boxes_are_those_that_were_drawn(kind: Any) -> None:
    output = EastOutput(family="east", name="y", geometry=kind)
    quads, scores = boxes_from_maps(east_maps(kind), output, EAST, (STRIDE, STRIDE))
    assert len(quads) == len(QUADS)
    assert min(matches(quads * STRIDE, QUADS)) > 0.98
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    # The first corner is the top left one of the text, also if it rises.
    for quad in QUADS:
        nearest = min(quads * STRIDE, key=lambda each: float(np.abs(each - quad).sum()))
        np.testing.assert_allclose(nearest, quad, atol=0.5)


def test_east_boxes_equal_those_of_opencv(tmp_path: Any) -> None:
    """OpenCV's decoder runs a network, so the maps are constants of one."""
    maps = east_maps("rbox")
    rows, columns = maps.shape[1:]
    text = f"""<ir_version: 8, opset_import: ["" : 11]>
        g (float[1,3,{SIZE[0]},{SIZE[1]}] image)
            => (float[1,5,{rows},{columns}] geometry, float[1,1,{rows},{columns}] score)
        {{ m = GlobalAveragePool(image) z = Conv(m, w) geometry = Add(z, a) score = Add(z, b) }}"""
    model = onnx.parser.parse_model(text)
    for name, array in (
        ("w", np.zeros((1, 3, 1, 1), np.float32)), ("a", maps[None, 1:]), ("b", maps[None, :1]),
    ):  # fmt: skip
        tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        model.graph.initializer.append(tensor)
    onnx.save(model, tmp_path / "east.onnx")
    reference = cv2.dnn.TextDetectionModel_EAST(cv2.dnn.readNet(str(tmp_path / "east.onnx")))
    reference.setConfidenceThreshold(0.8)
    reference.setNMSThreshold(0.2)
    reference.setInputParams(1.0, (SIZE[1], SIZE[0]))
    theirs, _ = reference.detect(np.zeros((*SIZE, 3), np.uint8))
    output = EastOutput(family="east", name="y")
    ours, _ = boxes_from_maps(maps, output, EAST, (STRIDE, STRIDE))
    assert len(theirs) == len(ours)
    assert min(matches(ours * STRIDE, [np.float32(quad) for quad in theirs])) > 0.95


def published_craft_boxes(region: np.ndarray, affinity: np.ndarray) -> list[np.ndarray]:
    """Return boxes by the rule of the authors, with masks of the whole map."""
    characters, links = region > CRAFT.threshold, affinity > CRAFT.link_threshold
    mask = (characters | links).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    boxes = []
    for label in range(1, count):
        _, _, width, height, size = stats[label]
        word = labels == label
        if size < 10 or region[word].max() < CRAFT.box_threshold:
            continue
        growth = int(math.sqrt(size * min(width, height) / (width * height)) * 2)
        kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (1 + growth, 1 + growth))
        grown = cv2.dilate((word & characters).astype(np.uint8), kernel)
        pixels = np.argwhere(grown)[:, ::-1].astype(np.float32)
        box = cv2.boxPoints(cv2.minAreaRect(pixels))
        sides = np.linalg.norm(box[1] - box[0]), np.linalg.norm(box[2] - box[1])
        if abs(1 - max(sides) / min(sides)) <= 0.1:
            (left, top), (right, bottom) = pixels.min(0), pixels.max(0)
            box = np.float32([[left, top], [right, top], [right, bottom], [left, bottom]])
        boxes.append(box)
    return boxes


@pytest.mark.parametrize("with_links", [True, False])
def test_craft_boxes_are_those_of_the_published_rule(with_links: bool) -> None:
    maps = craft_maps()
    maps[1] *= with_links
    quads, _ = boxes_from_craft(maps[0], maps[1], CRAFT)
    published = published_craft_boxes(maps[0], maps[1])
    assert len(quads) == len(published)
    for box in published:  # centers of pixels are at whole numbers there, and at 0.5 here
        nearest = min(quads, key=lambda quad: float(np.abs(quad.mean(0) - box.mean(0) - 0.5).sum()))
        off = np.abs(nearest[:, None] - (box + 0.5)).max(-1).min(1)  # in any order of the corners
        assert off.max() < 1e-3


def test_craft_words_are_those_that_were_drawn() -> None:
    maps = craft_maps()
    quads, scores = boxes_from_craft(maps[0], maps[1], CRAFT)
    assert len(quads) == 4
    # The growth is a rule of thumb of the authors: it is coarse on small maps.
    assert min(matches(quads * 2, QUADS[:4])) > 0.85
    assert scores.min() > 0.9
    # Without links, each character is a word.
    apart, _ = boxes_from_craft(maps[0], np.zeros_like(maps[1]), CRAFT)
    assert len(apart) > 10
    none, _ = boxes_from_craft(maps[0], maps[1], CRAFT.model_copy(update={"max_boxes": 1}))
    assert len(none) == 1


def test_noise_and_nan_end_quickly_and_state_no_box_of_nan(rng: np.random.Generator) -> None:
    output = EastOutput(family="east", name="y")
    maps = rng.normal(0, 50, (6, 160, 160)).astype(np.float32)
    maps[0] = 1
    maps[:, 80] = np.nan
    maps[3, 10] = np.inf
    maps[1, 20] = 1e30
    quads, _ = boxes_from_maps(maps, output, EAST, (4, 4))
    assert np.isfinite(quads).all()
    craft = boxes_from_craft(
        np.full((9, 9), np.nan, np.float32), np.ones((9, 9), np.float32), CRAFT
    )
    assert len(craft[0]) == 0
    empty = boxes_from_east(np.zeros((6, 8, 8), np.float32), output, EAST, (4, 4))
    assert len(empty[0]) == 0


def test_neighbors_are_merged_by_their_scores() -> None:
    one, two = quad_at(50, 50, 40, 20, 0), quad_at(52, 50, 40, 20, 0)
    ((merged, total),) = merged_along_rows(np.stack([one, two]), np.float32([1, 3]), 0.2)
    np.testing.assert_allclose(merged, (one + 3 * two) / 4, atol=1e-4)
    assert total == 4
    far = quad_at(150, 50, 40, 20, 0)
    assert len(merged_along_rows(np.stack([one, far, two]), np.float32([1, 1, 1]), 0.2)) == 3
    assert overlap(one, one * 0) == 0
    assert overlap(one, one) == pytest.approx(1)


def test_geometry_is_scaled_to_pixels_but_its_angle_is_not() -> None:
    planes = np.zeros((1, 6, 1, 1), np.float32)
    planes[0, :, 0, 0] = (0.0, 0.1, 0.2, 0.1, 0.2, 0.5)
    settings = EastOutput(family="east", name="y", activation="sigmoid", geometry_scale=512)
    maps = maps_from_output(planes, settings)
    np.testing.assert_allclose(maps[0, :, 0, 0], [0.5, 51.2, 102.4, 51.2, 102.4, 0.5], rtol=1e-6)
    moved = maps_from_output(
        planes[:, [1, 2, 3, 4, 5, 0]], EastOutput(family="east", name="y", score=5, first=0)
    )
    np.testing.assert_array_equal(moved, planes)
    (quad,) = quads_at_pixels(np.float32([[2], [4], [2], [4], [0]]), np.array([[3, 5]]), (2, 2))
    assert quad.tolist() == [[1, 4], [5, 4], [5, 6], [1, 6]]


def spec(output: dict[str, Any]) -> DetectorSpec:
    data = {
        "name": "d", "role": "detector", "source": {"path": "m"}, "output": output,
        "input": {"name": "x", "shape": [1, 64, 64, 3]},
    }  # fmt: skip
    found = spec_from_dict(data)
    assert isinstance(found, DetectorSpec)
    return found


def test_the_output_of_a_spec_is_tagged_and_the_tag_may_be_left_out() -> None:
    assert spec({"name": "y"}).output == MapOutput(name="y")
    assert spec({"name": "y", "channel": 1}).output == MapOutput(name="y", channel=1)
    east = spec({"family": "east", "name": "y", "geometry": "quad"})
    assert isinstance(east.output, EastOutput)
    assert isinstance(spec({"family": "craft", "name": "y"}).output, CraftOutput)
    assert spec_from_dict(east.model_dump()) == east
    assert "family: east" in dump_spec(east)


@pytest.mark.parametrize(
    ("output", "facts"),
    [
        ({"family": "eats", "name": "y"}, ["output", "eats", "did you mean east"]),
        ({"family": "east", "name": "y", "chanel": 1}, ["output.chanel", "unknown key"]),
        ({"family": "craft", "name": "y", "afinity": 1}, ["output.afinity", "did you mean aff"]),
        ({"name": "y", "chanel": 1}, ["output.chanel", "did you mean channel"]),
        ({"family": "east", "name": "y", "geometry": "box"}, ["output.geometry", "'box'", "rbox"]),
        ({"family": "map"}, ["output.name", "required"]),
    ],
)
def test_wrong_outputs_are_explained(output: dict[str, Any], facts: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        spec(output)
    for fact in facts:
        assert fact in str(caught.value)


def test_shapes_and_distances_follow_the_family() -> None:
    role = DetectorRole(spec({"family": "east", "name": "y"}))
    role.check_output_shape((0, 6, 16, 16), InputSize(64, 64))
    with pytest.raises(SpecError, match=r"channel 5, but the output has 1 .*NAME \+ NAME"):
        role.check_output_shape((0, 1, 16, 16), InputSize(64, 64))
    maps = east_maps("rbox")[None]
    other = maps.copy()
    other[:, 1] *= 1.2
    assert role.output_distance([maps], [maps]) == 0
    assert 0 < role.output_distance([maps], [other]) < 0.2
    craft = DetectorRole(spec({"family": "craft", "name": "y"}))
    craft.check_output_shape((0, 2, 32, 32), InputSize(64, 64))
    assert craft.output_distance([craft_maps()[None]], [craft_maps()[None]]) == 0
    assert text_map(maps[0], role.spec.output).shape == maps.shape[2:]
