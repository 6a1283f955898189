"""ImageToTensor and CropWarp against OpenCV and against the pipeline on the CPU."""

from __future__ import annotations

import json
from itertools import compress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ocr_trt.ocr.crop import crop_quad
from ocr_trt.ocr.detector import detector_input
from ocr_trt.ocr.image import load_image
from ocr_trt.ocr.preprocess import line_width
from ocr_trt.ocr.recognizer import recognizer_input
from ocr_trt.ocr.types import Image, Quads
from ocr_trt.plugins.crop_warp import crop_attributes, crop_warp
from ocr_trt.plugins.crop_warp.kernel import MAX_CROP_SIDE
from ocr_trt.plugins.crop_warp.reference import MOST_SAMPLES, unit_square_to
from ocr_trt.plugins.image_inputs import DTYPES, MAX_SIDE, colors_of
from ocr_trt.plugins.image_to_tensor import detector_attributes, image_to_tensor, line_attributes
from ocr_trt.plugins.registry import PLUGINS
from ocr_trt.plugins.resizing import weights
from ocr_trt.spec import InputSpec

SAMPLES = Path(__file__).parents[2] / "models" / "samples" / "test"

sides = st.integers(1, 40)
sizes = st.tuples(sides, sides)


def in_gray_levels(height: int, width: int, color: str = "RGB") -> InputSpec:
    """An input whose tensors are pixels: mean 0, scale 1."""
    channels = 1 if color == "GRAY" else 3
    return InputSpec(
        name="x", shape=(1, height, width, channels), color=color, mean=(0,), scale=(1,), pad=99
    )


def noise(size: tuple[int, int], seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def resized(image: np.ndarray, size: tuple[int, int], *, area: bool) -> np.ndarray:
    down, across = (weights(a, b, area=area) for a, b in zip(image.shape, size, strict=False))
    return np.einsum("ry,yxc,kx->rkc", down, image.astype(np.float64), across)


@given(sizes, sizes)
@settings(max_examples=60, deadline=None)
def test_bilinear_equals_opencv_without_its_rounding(
    before: tuple[int, int], after: tuple[int, int]
) -> None:
    image = noise(before)
    found = resized(image, after, area=False)
    expected = cv2.resize(image.astype(np.float32), after[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(found, expected, atol=5e-3, rtol=0)
    rounded = cv2.resize(image, after[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(found, rounded, atol=2, rtol=0)


@given(sizes, sizes, st.booleans())
@settings(max_examples=60, deadline=None)
def test_area_equals_opencv_where_both_sides_shrink_or_both_grow(
    one: tuple[int, int], other: tuple[int, int], shrinks: bool
) -> None:
    small, large = (
        tuple(pick(pair) for pair in zip(one, other, strict=True)) for pick in (min, max)
    )
    before, after = (large, small) if shrinks else (small, large)
    image = noise(before).astype(np.float32)
    expected = cv2.resize(image, after[::-1], interpolation=cv2.INTER_AREA)
    # OpenCV computes the first pixel of an enlarged result in floating point. Where the result
    # begins exactly at a pixel's edge, it sometimes takes the pixel before the edge.
    inside = np.ix_(*(off_edges(*pair) for pair in zip(before, after, strict=True)))
    result = resized(image, after, area=True)
    np.testing.assert_allclose(result[inside], expected[inside], atol=5e-3, rtol=0)


def off_edges(before: int, after: int) -> list[int]:
    """Return the results of a resized side whose first pixel does not depend on rounding."""
    return [i for i in range(after) if before >= after or i * before % after != 0]


@given(sides, sides, st.booleans())
@settings(max_examples=60, deadline=None)
def test_weights_sum_to_one(before: int, after: int, area: bool) -> None:
    found = weights(before, after, area=area)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)


@given(sizes, sizes, st.sampled_from(["RGB", "BGR", "GRAY"]))
@settings(max_examples=60, deadline=None)
def test_tensor_equals_the_detectors_input(
    size: tuple[int, int], shape: tuple[int, int], color: str
) -> None:
    spec, image = in_gray_levels(*shape, color), noise(size)
    attributes = detector_attributes(image, spec, spec.size)
    found = image_to_tensor((image, *colors_of(spec)), attributes)
    expected, _ = detector_input(image, spec, spec.size)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    rows, columns = attributes["rows"], attributes["columns"]
    before = np.array(size)
    if np.ptp(np.sign(before - [rows, columns])) == 2:
        return  # one side grows and one shrinks: OpenCV has no areas then
    # Half a level by rounding once; a detour over gray, another half and its weights of 15 bits.
    np.testing.assert_allclose(found, expected, atol=1.6 if color == "GRAY" else 1.01, rtol=0)
    np.testing.assert_allclose(found[:, :, rows:], 99, rtol=1e-6)
    np.testing.assert_allclose(found[..., columns:], 99, rtol=1e-6)


def test_mean_and_scale_are_the_specs() -> None:
    spec = InputSpec(
        name="x", shape=(1, 16, 24, 3), color="BGR", mean=(1, 20, 120), scale=(0.5, 0.01, 2)
    )
    image = noise((16, 20))
    found = image_to_tensor((image, *colors_of(spec)), detector_attributes(image, spec, spec.size))
    np.testing.assert_allclose(
        found, detector_input(image, spec, spec.size)[0], atol=1e-5, rtol=1e-6
    )


def words(name: str) -> tuple[Image, Quads]:
    """A sample image and its words (K, 4, 2)."""
    labels = {entry["file"]: entry for entry in json.loads((SAMPLES / "labels.json").read_text())}
    polygons = [box["polygon"] for box in labels[name]["boxes"]]
    return load_image(SAMPLES / name), np.array(polygons, np.float32).reshape(-1, 4, 2)


@pytest.mark.parametrize("width", [160, 320])
def test_crops_equal_the_recognizers_input(width: int) -> None:
    image, quads = words("test_04.jpg")
    spec = in_gray_levels(32, width, "GRAY")
    lines = [crop_quad(image, quad) for quad in quads]
    fits = [line_width(line, 32) <= width for line in lines]  # OpenCV squeezes otherwise
    quads, lines = quads[fits], list(compress(lines, fits))
    expected = recognizer_input(lines, spec, width)
    found = crop_warp((image, quads, *colors_of(spec)), crop_attributes(spec, width))
    assert found.shape == expected.shape
    assert len(found) >= 8
    assert np.abs(found - expected).mean() < 0.6
    np.testing.assert_allclose(found, expected, atol=4, rtol=0)


def test_line_equals_the_recognizers_input() -> None:
    image, quads = words("test_04.jpg")
    spec = in_gray_levels(32, 160, "GRAY")
    for line in (crop_quad(image, quad) for quad in quads):
        attributes = line_attributes(line, spec, 160)
        found = image_to_tensor((line, *colors_of(spec)), attributes)
        np.testing.assert_allclose(found, recognizer_input([line], spec, 160), atol=1.6, rtol=0)


@given(
    hnp.arrays(np.float64, (4, 2), elements=st.floats(-9, 9)),
    st.floats(30, 2000),
    st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_map_equals_opencv(shift: np.ndarray, size: float, turns: int) -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    quad = np.roll(square * size, turns, 0).astype(np.float32) + shift.astype(np.float32)
    found = unit_square_to(quad)
    assert found is not None
    np.testing.assert_allclose(found, cv2.getPerspectiveTransform(square, quad), atol=1e-6 * size)


any_corner = st.one_of(st.floats(-50, 90), st.floats(width=32), st.sampled_from([0.0, 5.0, 65536]))


@given(hnp.arrays(np.float64, (4, 2), elements=any_corner), st.sampled_from([(4, 8), (1, 1)]))
@settings(max_examples=100, deadline=None)
def test_any_quadrilateral_gives_pixels(corners: np.ndarray, size: tuple[int, int]) -> None:
    spec, image = in_gray_levels(*size), noise((9, 11))
    quads = corners.astype(np.float32)[None]
    found = crop_warp((image, quads, *colors_of(spec)), crop_attributes(spec, size[1]))
    assert found.min() >= 0
    assert found.max() <= 255.001


def test_positions_fit_into_32_bits() -> None:
    assert 2 * MAX_SIDE * MAX_SIDE < 2**31
    assert 2 * MOST_SAMPLES * MAX_CROP_SIDE * MAX_CROP_SIDE < 2**31


IMAGE = np.zeros((4, 6, 3), np.uint8)
QUADS = np.zeros((2, 4, 2), np.float32)
COLORS = (np.eye(3, dtype=np.float32), np.zeros(3, np.float32), np.ones(3, np.float32))
TENSOR = {"rows": 4, "columns": 6, "height": 8, "width": 8, "pad": 0, "area": 0, "to": 1}
CROPS = {"height": 8, "width": 8, "pad": 0, "to": 1}


@pytest.mark.parametrize(
    ("name", "inputs", "changes", "message"),
    [
        ("ImageToTensor", (IMAGE.astype(np.float32), *COLORS), {}, "got float32"),
        ("ImageToTensor", (IMAGE[..., 0], *COLORS), {}, r"\(H, W, 3\).*\(4, 6\)"),
        ("ImageToTensor", (IMAGE[:0], *COLORS), {}, "1 to 32767"),
        ("ImageToTensor", (IMAGE, *COLORS), {"width": 40000}, "1 to 32767"),
        ("ImageToTensor", (IMAGE, *COLORS), {"rows": 9}, "do not fit into 8 x 8"),
        ("ImageToTensor", (IMAGE, *COLORS), {"columns": 0}, "do not fit"),
        ("ImageToTensor", (IMAGE, *COLORS), {"area": 2}, "area .*0 or 1, got 2"),
        ("ImageToTensor", (IMAGE, *COLORS), {"pad": 256}, "pad .*0 to 255, got 256"),
        ("ImageToTensor", (IMAGE, *COLORS), {"to": 16}, "to .*1, 10, got 16"),
        ("ImageToTensor", (IMAGE, *COLORS[:2], COLORS[2][:1]), {}, r"scale \(C,\)"),
        ("ImageToTensor", (IMAGE, COLORS[0], COLORS[0], COLORS[2]), {}, r"mean \(C,\)"),
        ("ImageToTensor", (IMAGE, *(c.astype(float) for c in COLORS)), {}, "in float32"),
        ("CropWarp", (IMAGE, QUADS[:, :3], *COLORS), {}, r"\(N, 4, 2\)"),
        ("CropWarp", (IMAGE, QUADS.astype(float), *COLORS), {}, "got float64"),
        ("CropWarp", (IMAGE, QUADS, *COLORS), {"width": 4097}, "up to 4096"),
        ("CropWarp", (IMAGE[:, :0], QUADS, *COLORS), {}, "1 to 32767"),
    ],
)
def test_launch_refuses_what_the_op_does_not_accept(
    name: str, inputs: tuple[np.ndarray, ...], changes: dict[str, int], message: str
) -> None:
    attributes = {"ImageToTensor": TENSOR, "CropWarp": CROPS}[name]
    launch = PLUGINS[name].launch
    assert launch((IMAGE, *([QUADS] if name == "CropWarp" else []), *COLORS), attributes)
    with pytest.raises(ValueError, match=message):
        launch(inputs, {**attributes, **changes})


def test_too_many_crops_are_refused() -> None:
    quads = np.broadcast_to(np.float32(0), (2**16, 4, 2))
    attributes = {**CROPS, "height": MAX_CROP_SIDE, "width": MAX_CROP_SIDE - 1}
    with pytest.raises(ValueError, match="65536 crops of 4096 x 4095"):
        PLUGINS["CropWarp"].launch((IMAGE, quads, *COLORS), attributes)


def test_dtypes_are_those_of_cast() -> None:
    import onnx

    for number, dtype in DTYPES.items():
        assert onnx.helper.tensor_dtype_to_np_dtype(number) == dtype
