"""Detectors with several input sizes: proposed for images, built, and used by the reader."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from ocr_trt.builder.build import build
from ocr_trt.builder.compile import file_stem
from ocr_trt.builder.proposed_sizes import propose_sizes
from ocr_trt.calibration.images import load_calibration
from ocr_trt.common.input_size import InputSize
from ocr_trt.common.progress import SilentReporter
from ocr_trt.engines.bundle import load_bundle, own_files
from ocr_trt.engines.engine import Engine
from ocr_trt.errors import SpecError
from ocr_trt.pipeline.stages import detect_whole
from ocr_trt.spec import DetectorSpec
from tests.builder.small_build import quick_request

SIZES = (InputSize(32, 64), InputSize(64, 32))


def write_noise(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, size in enumerate(sizes):
        noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number:02}.png"), noise)
    return folder


def free(spec: DetectorSpec, path: Path) -> DetectorSpec:
    """Return the spec of the same model with free height and width."""
    model = onnx.load(spec.source.path)
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in ((2, "h"), (3, "w")):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    del model.graph.value_info[:]
    onnx.save(model, path)
    return spec.model_copy(update={"source": spec.source.model_copy(update={"path": path})})


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
def test_each_size_has_an_engine(target: str, onnx_detector: DetectorSpec, tmp_path: Path) -> None:
    spec = free(onnx_detector, tmp_path / "free.onnx").model_copy(update={"sizes": SIZES})
    folder = write_noise(tmp_path / "images", [(32, 32), (32, 60), (60, 32), (30, 64)])
    request = quick_request(spec, folder, tmp_path / "out", targets=(target,))
    (result,) = build(request)
    assert result.error is None
    bundle = load_bundle(result.folder)
    assert [entry.size for entry in bundle.manifest.engines] == [(32, 32), (64, 32), (32, 64)]
    assert {"model_32x32.onnx", "model_64x32.onnx", "model_32x64.onnx"} <= own_files(bundle.folder)
    assert bundle.manifest.calibration is not None
    assert bundle.manifest.calibration.images == 4
    with Engine.from_bundle(bundle) as engine:
        for size in spec.input_sizes:
            found = detect_whole(engine, np.zeros((*size, 3), np.uint8))
            assert found.fit.size == size
            assert found.fit.scales == (1, 1)


def test_one_height_is_named_by_widths() -> None:
    assert file_stem(InputSize(640, 640), [InputSize(640, 640)]) == "640"
    assert file_stem(InputSize(32, 96), [InputSize(32, 96), InputSize(32, 320)]) == "96"
    assert file_stem(InputSize(64, 32), SIZES) == "64x32"


def test_sizes_suit_the_images(onnx_detector: DetectorSpec, tmp_path: Path) -> None:
    spec = free(onnx_detector, tmp_path / "free.onnx")
    folder = write_noise(tmp_path / "images", [(60, 120)] * 6 + [(120, 60)] * 2 + [(20, 20)])
    proposed = propose_sizes(spec, load_calibration(folder, spec), SilentReporter())
    assert proposed.spec.input.size == (64, 128), "most images"
    assert set(proposed.spec.input_sizes) >= {(64, 128), (128, 64)}
    assert "9 images of 3 sizes, from 20x20 to" in proposed.reason


def test_large_images_get_an_input_of_limited_size(
    onnx_detector: DetectorSpec, tmp_path: Path
) -> None:
    spec = free(onnx_detector, tmp_path / "free.onnx")
    folder = write_noise(tmp_path / "images", [(1500, 3000)])
    proposed = propose_sizes(spec, load_calibration(folder, spec), SilentReporter())
    assert proposed.spec.input_sizes == ((800, 1600),)


def test_a_model_of_one_size_is_refused(onnx_detector: DetectorSpec, tmp_path: Path) -> None:
    folder = write_noise(tmp_path / "images", [(60, 120)])
    with pytest.raises(SpecError, match="accepts an input of 32x32 only"):
        propose_sizes(onnx_detector, load_calibration(folder, onnx_detector), SilentReporter())
