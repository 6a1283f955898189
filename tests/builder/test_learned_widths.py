"""Input widths chosen from lines and from times of the model."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ocr_trt.builder import learned_widths as learning
from ocr_trt.builder.learned_widths import Buckets, WidthSettings, _recommended, choose_buckets
from ocr_trt.calibration.images import load_calibration
from ocr_trt.common.progress import SilentReporter
from ocr_trt.engines.targets import backend
from ocr_trt.spec import RecognizerSpec
from tests.builder.small_build import QUICK


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Twelve narrow lines and one wide one, at the input's height of 32."""
    for number, width in enumerate([20, 22, 24] * 4 + [90]):
        image = np.full((32, width, 3), 10 * number, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number:02d}.png"), image)
    return tmp_path


def test_buckets_fit_the_lines(
    onnx_recognizer: RecognizerSpec, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widest = onnx_recognizer.input.width
    monkeypatch.setattr(learning, "_costs", lambda *_: {16: 0.25, widest: 1.0})
    images = load_calibration(lines, onnx_recognizer)
    settings = WidthSettings(max_widths=3, step=16)
    choice = choose_buckets(
        onnx_recognizer, images, backend("openvino"), settings, SilentReporter()
    )
    assert sorted(choice.line_widths) == sorted([20, 22, 24] * 4 + [90])
    one, two, three = choice.choices
    assert (one.widths, one.saved) == ((widest,), 0)
    assert two.widths == (32, widest), "the narrow lines fit into 32"
    # The line of 90 columns is cut into two windows, which cost as much as two lines.
    assert choice.cut == 1
    assert two.saved == pytest.approx(12 / 14 * (1 - 0.5))
    assert one.milliseconds == pytest.approx(14 / 13)
    assert two.padding < one.padding
    assert len(three.widths) == 3
    assert choice.best == two
    assert choice.current.widths == onnx_recognizer.widths
    free = onnx_recognizer.model_copy(update={"width_step": 8})
    choice = choose_buckets(free, images, backend("openvino"), settings, SilentReporter())
    assert choice.current.widths == free.free_widths == (32, 40, 48, 56, 64)


def test_widths_are_timed_with_the_model(
    onnx_recognizer: RecognizerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "_TIMED", QUICK)
    costs = learning._costs(onnx_recognizer, backend("openvino"), 16, SilentReporter())
    assert list(costs) == sorted(costs)
    assert (min(costs), max(costs)) == (16, onnx_recognizer.input.width)
    assert all(0 < milliseconds < 100 for milliseconds in costs.values())


@pytest.mark.parametrize(
    ("times", "taken"), [([10, 5, 4.9, 4.6], 2), ([10, 9, 8, 7], 4), ([10], 1), ([10, 9.9], 1)]
)
def test_widths_are_added_while_each_saves_enough(times: list[float], taken: int) -> None:
    choices = [
        Buckets(widths=tuple(range(1, count + 1)), milliseconds=ms, saved=0.0, padding=0.0)
        for count, ms in enumerate(times, 1)
    ]
    assert len(_recommended(choices).widths) == taken
