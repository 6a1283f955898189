from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.ocr.detector import boxes_from_output, detector_input
from ocr_trt.ocr.preprocess import Fit, fit_line, image_to_tensor, letterbox, line_width, normalize
from ocr_trt.ocr.recognizer import bucket_of, recognizer_input
from ocr_trt.spec import DetectorSpec, InputSpec, RecognizerSpec, spec_from_dict


@pytest.mark.parametrize(
    ("size", "inner", "scales"),
    [
        ((100, 200), (32, 64), (0.32, 0.32)),
        ((200, 100), (64, 32), (0.32, 0.32)),
        ((16, 16), (64, 64), (4.0, 4.0)),
        ((4, 4000), (1, 64), (0.016, 0.25)),
    ],
    ids=["wide", "tall", "small is enlarged", "very thin keeps a row"],
)
def test_letterbox_fits_and_pads(
    size: tuple[int, int], inner: tuple[int, int], scales: tuple[float, float]
) -> None:
    fitted, result = letterbox(np.full((*size, 3), 200, np.uint8), InputSize(64, 64), 7)
    assert fitted.shape == (64, 64, 3)
    assert result.scales == pytest.approx(scales)
    assert (fitted[: inner[0], : inner[1]] == 200).all()
    assert (fitted[inner[0] :] == 7).all()
    assert (fitted[:, inner[1] :] == 7).all()


@pytest.mark.parametrize(
    ("size", "width"),
    [((64, 128), 64), ((32, 40), 40), ((10, 100), 320), ((100, 1), 1)],
    ids=["halved", "as it is", "enlarged", "at least a pixel"],
)
def test_line_width(size: tuple[int, int], width: int) -> None:
    assert line_width(np.zeros((*size, 3), np.uint8), 32) == width


def test_fit_line_pads_short_and_squeezes_long_lines() -> None:
    short = fit_line(np.full((32, 40, 3), 200, np.uint8), 32, 64, pad=7)
    assert (short[:, :40] == 200).all()
    assert (short[:, 40:] == 7).all()
    long = fit_line(np.full((32, 400, 3), 200, np.uint8), 32, 64, pad=7)
    assert (long == 200).all()


def test_normalize_is_minus_mean_times_scale_per_channel() -> None:
    pixels = np.full((2, 2, 3), (10, 20, 30), np.uint8)
    result = normalize(pixels, (1, 2, 3), (1, 0.5, 0.1))
    assert result.dtype == np.float32
    assert result[0, 0] == pytest.approx([9, 9, 2.7])
    assert normalize(pixels[..., 0], 127.5, 2.0).shape == (2, 2, 1)


@pytest.mark.parametrize(
    ("color", "expected"), [("RGB", [10, 20, 30]), ("BGR", [30, 20, 10]), ("GRAY", [18])]
)
def test_color_order_is_applied(color: str, expected: list[float]) -> None:
    settings = InputSpec(
        name="x", shape=(1, 4, 4, 1 if color == "GRAY" else 3), color=color, scale=(1.0,)
    )
    tensor = image_to_tensor(np.full((4, 4, 3), (10, 20, 30), np.uint8), settings)
    assert tensor[:, 0, 0].tolist() == expected


def detector(width: int = 64) -> DetectorSpec:
    spec = spec_from_dict(
        {
            "name": "d",
            "role": "detector",
            "source": {"path": "m"},
            "input": {"name": "x", "shape": [1, 64, width, 3]},
            "output": {"name": "y", "channel": 1, "activation": "sigmoid"},
            "boxes": {"unclip_ratio": 0.0},
        }
    )
    assert isinstance(spec, DetectorSpec)
    return spec


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_boxes_come_back_in_the_pixels_of_the_image(stride: int) -> None:
    spec = detector()
    image = np.zeros((128, 96, 3), np.uint8)
    feed, fit = detector_input(image, spec.input, spec.input.size)
    assert feed.shape == (1, 3, 64, 64)
    output = np.full((1, 2, 64 // stride, 64 // stride), -9, np.float32)
    output[0, 1, 8 // stride : 16 // stride, 4 // stride : 28 // stride] = 9
    quads, scores = boxes_from_output(output, spec, fit, (128, 96))
    assert quads[0].tolist() == [[8, 16], [56, 16], [56, 32], [8, 32]]
    assert scores[0] == pytest.approx(1, abs=1e-3)


def test_box_in_the_padding_is_dropped() -> None:
    spec = detector()
    image = np.zeros((24, 64, 3), np.uint8)  # fills the upper 24 rows of 64
    _, fit = detector_input(image, spec.input, spec.input.size)
    output = np.full((1, 2, 64, 64), -9, np.float32)
    output[0, 1, 4:16, 4:28] = 9
    output[0, 1, 40:52, 4:28] = 9
    quads, scores = boxes_from_output(output, spec, fit, image.shape[:2])
    assert len(quads) == len(scores) == 1
    assert quads[0, :, 1].max() <= 24


def test_map_without_a_channel_axis_is_accepted() -> None:
    spec = detector()
    output = np.full((1, 64, 64), 9, np.float32)
    quads, _ = boxes_from_output(
        output, spec, Fit(size=spec.input.size, scales=(1.0, 1.0)), (64, 64)
    )
    assert quads.shape == (1, 4, 2)


def test_recognizer_input_and_buckets() -> None:
    spec = spec_from_dict(
        {
            "name": "r",
            "role": "recognizer",
            "source": {"path": "m"},
            "input": {"name": "x", "shape": [1, 32, 320, 1], "color": "GRAY"},
            "output": {"name": "y"},
            "buckets": [96, 160],
        }
    )
    assert isinstance(spec, RecognizerSpec)
    lines = [np.zeros((32, width, 3), np.uint8) for width in (10, 96, 97, 160, 161, 5000)]
    assert [bucket_of(line, spec) for line in lines] == [96, 96, 160, 160, 320, 320]
    assert recognizer_input(lines, spec.input, 96).shape == (6, 1, 32, 96)
