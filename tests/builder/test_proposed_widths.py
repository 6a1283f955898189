"""Input widths that are proposed for the lines of a folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from ocr_trt.builder.proposed_widths import _buckets, propose_widths
from ocr_trt.calibration.images import load_calibration
from ocr_trt.common.progress import SilentReporter
from ocr_trt.spec import RecognizerSpec, spec_from_dict
from tests.cli.conftest import write_recognizer


def recognizer(path: Path, *, fixed: bool = False) -> RecognizerSpec:
    write_recognizer(path)
    if fixed:  # a position is added to each column
        model = onnx.load(path)
        positions = np.zeros((1, 1, 32, 64), np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(positions, "positions"))
        model.graph.node[0].input[0] = "placed"
        model.graph.node.insert(0, onnx.helper.make_node("Add", ["image", "positions"], ["placed"]))
        onnx.save(model, path)
    spec = spec_from_dict(
        {
            "name": "r", "role": "recognizer", "source": {"path": str(path)},
            "input": {
                "name": "image", "shape": [1, 1, 32, 64], "layout": "NCHW", "color": "GRAY"
            },
            "output": {"name": "logits"},
        }
    )  # fmt: skip
    assert isinstance(spec, RecognizerSpec)
    return spec


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Twenty narrow lines, a wide one, and one of twice the height that is as wide at 32 rows."""
    for number in range(20):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((32, 90 + number % 5, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((32, 700, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "high.png"), np.zeros((64, 1400, 3), np.uint8))
    return tmp_path


def test_widths_suit_the_lines(lines: Path, tmp_path: Path) -> None:
    spec = recognizer(tmp_path / "m.onnx")
    proposed = propose_widths(spec, load_calibration(lines, spec), SilentReporter())
    assert proposed.spec.widths == (96, 704)
    assert proposed.spec.input.shape == (1, 1, 32, 704)
    for fact in ("22 lines", "700 at most", "input widths: 96, 704"):
        assert fact in proposed.reason


def test_a_model_with_one_width_keeps_it(lines: Path, tmp_path: Path) -> None:
    spec = recognizer(tmp_path / "m.onnx", fixed=True)
    proposed = propose_widths(spec, load_calibration(lines, spec), SilentReporter())
    assert proposed.spec == spec
    assert "no input of 704 columns" in proposed.reason
    assert "22 wider lines are read in windows" in proposed.reason


def test_narrow_lines_get_a_narrower_input(tmp_path: Path) -> None:
    (tmp_path / "lines").mkdir()
    cv2.imwrite(str(tmp_path / "lines" / "1.png"), np.zeros((32, 30, 3), np.uint8))
    spec = recognizer(tmp_path / "m.onnx")
    images = load_calibration(tmp_path / "lines", spec)
    assert propose_widths(spec, images, SilentReporter()).spec.widths == (32,)


def test_buckets_cost_less_than_padding() -> None:
    assert _buckets([300] * 50, 320) == ()
    assert _buckets([40] * 50 + [320], 320) == (64,)
    narrow, *_ = _buckets([30, 90, 150, 310] * 20, 320)
    assert narrow == 32
