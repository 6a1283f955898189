"""The variants of a model: ways to compute it, and other input sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocr_trt.builder import learned_widths
from ocr_trt.builder.learned_widths import WidthSettings
from ocr_trt.builder.pairs.other_inputs import detector_inputs, recognizer_inputs, shrunk_spec
from ocr_trt.builder.pairs.variants import Inputs, Variant, ways_of, with_inputs
from ocr_trt.builder.request import BuildRequest
from ocr_trt.calibration.images import load_calibration
from ocr_trt.common.input_size import InputSize
from ocr_trt.common.progress import SilentReporter
from ocr_trt.engines.openvino.backend import BACKEND as OPENVINO
from ocr_trt.spec import DetectorSpec, RecognizerSpec
from tests.builder.small_build import fp32_request, write_model

FREE = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,3,H,W] image) => (float[1,1,H,W] map)
    { a = Conv (image, w0)
      map = Sigmoid (a) }"""


@pytest.fixture
def free_detector(onnx_detector: DetectorSpec, tmp_path: Path) -> DetectorSpec:
    """A detector of any input size, at 160x320 and 320x320."""
    write_model(tmp_path / "free.onnx", text=FREE, weights={"w0": (1, 3, 1, 1)})
    source = onnx_detector.source.model_copy(update={"path": tmp_path / "free.onnx"})
    settings = onnx_detector.input.model_copy(update={"shape": (1, 3, 320, 320)})
    return onnx_detector.model_copy(
        update={"source": source, "input": settings, "sizes": (InputSize(160, 320),)}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of 200 x 600 pixels (height x width)."""
    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        cv2.imwrite(str(images / f"{number}.png"), np.full((200, 600, 3), 9, np.uint8))
    return images


def test_sizes_shrink_to_the_multiples_of_the_model(free_detector: DetectorSpec) -> None:
    spec = shrunk_spec(free_detector, 0.8, (1, 1))
    assert spec.input_sizes == (InputSize(128, 256), InputSize(256, 256))
    assert spec.input.size == InputSize(256, 256), "the main size remains the main one"
    wide = shrunk_spec(free_detector, 0.8, (1, 128))
    assert wide.input_sizes == (InputSize(128, 256), InputSize(256, 256))
    tiny = shrunk_spec(free_detector, 0.01, (1, 1))
    assert tiny.input_sizes == (InputSize(32, 32),), "equal sizes are one"


def test_detector_has_smaller_inputs_and_those_of_the_images(
    free_detector: DetectorSpec, folder: Path
) -> None:
    images = load_calibration(folder, free_detector)
    found = detector_inputs(free_detector, images, SilentReporter())
    assert [each.label for each in found] == [
        "input sizes x 0.9",
        "input sizes x 0.8",
        "input 224x608",
    ]
    assert found[2].spec.input_sizes == (InputSize(224, 608),)


def test_fixed_sizes_stay(onnx_detector: DetectorSpec, folder: Path) -> None:
    images = load_calibration(folder, onnx_detector)
    assert detector_inputs(onnx_detector, images, SilentReporter()) == []


def test_recognizer_has_the_widths_of_the_lines(
    onnx_recognizer: RecognizerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        cv2.imwrite(str(tmp_path / f"{number:02d}.png"), np.full((32, 14, 3), number, np.uint8))
    lines = load_calibration(tmp_path, onnx_recognizer)
    monkeypatch.setattr(learned_widths, "_costs", lambda *_: {16: 0.25, 64: 1.0})
    settings = WidthSettings(max_widths=2, step=16)
    found, free = recognizer_inputs(onnx_recognizer, lines, settings, SilentReporter())
    assert isinstance(found.spec, RecognizerSpec)
    assert found.label == "widths 16 64"
    assert found.spec.widths == (16, 64)
    assert isinstance(free.spec, RecognizerSpec)
    assert free.label == "any width in steps of 32"
    assert free.spec.free_widths == (32, 64)
    # No set of widths is faster than that of the spec by more than 2 %, and it has a free width.
    fitting = onnx_recognizer.model_copy(update={"buckets": (16,), "width_step": 16})
    assert recognizer_inputs(fitting, lines, settings, SilentReporter()) == []
    coarse = WidthSettings(max_widths=3, step=33)
    assert recognizer_inputs(onnx_recognizer, lines, coarse, SilentReporter()) == []


def test_ways_are_those_that_a_target_supports(onnx_detector: DetectorSpec, tmp_path: Path) -> None:
    base = fp32_request(onnx_detector, tmp_path)
    ways = ways_of(base)
    assert [each.way for each in ways] == ["fp32", *sorted({*OPENVINO.precisions} - {"fp32"})[::-1]]
    assert [each.is_exact for each in ways].count(True) == 1
    assert [each.way for each in ways if each.is_default] == ["int8"]
    compressed = ways_of(base, replace(base, spec=onnx_detector))[len(ways) :]
    assert [each.way for each in compressed][:1] == ["int8, compressed"]
    assert all(each.request.compress and not each.is_default for each in compressed)
    assert with_inputs(compressed, [Inputs(label="input 64x64", spec=onnx_detector)]) == []
    ort = ways_of(replace(base, targets=("onnxruntime",)))
    assert [each.way for each in ort] == ["fp32", "int8"], "its fp16 is no faster on a CPU"


def test_other_inputs_are_built_in_the_ways_that_remained(
    onnx_detector: DetectorSpec, folder: Path, tmp_path: Path
) -> None:
    images = load_calibration(folder, onnx_detector)
    generous = onnx_detector.accuracy.model_copy(update={"max_loss": 100.0})
    spec = onnx_detector.model_copy(update={"accuracy": generous})
    base: BuildRequest = fp32_request(spec, tmp_path, calibration=images)
    exact, quick = Variant(way="fp32", request=base), Variant(way="int8", request=base)
    other = Inputs(label="input 64x64", spec=shrunk_spec(onnx_detector, 2.0, (1, 1)))
    (variant,) = with_inputs([exact, quick], [other])
    assert (variant.label, variant.is_exact, variant.is_default) == (
        "int8, input 64x64", False, False
    )  # fmt: skip
    request = variant.request
    assert request.spec.input.size == InputSize(64, 64)
    assert request.spec.accuracy.max_loss == 100.0, "variants are not refused for their own loss"
    assert request.calibration is not None
    assert request.calibration.spec == request.spec, "images are prepared for the new size"
    (alone,) = with_inputs([exact], [other])
    assert alone.way == "fp32", "without another way, the exact one"
