"""Bundles with known results."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from ocr_trt.builder import build
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.spec import RecognizerSpec, load_spec
from tests.builder.small_build import fp32_request
from tests.readable_models import write_models, write_workplace


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, and with bundles that read them: bundles/detector and recognizer."""
    return write_workplace(tmp_path_factory.mktemp("workplace"))


@pytest.fixture(scope="session")
def readable(workplace: Path) -> tuple[Path, Path]:
    """The detector and the recognizer of the workplace."""
    return workplace / "bundles" / "detector", workplace / "bundles" / "recognizer"


@pytest.fixture(scope="session", params=["openvino", "onnxruntime"])
def readable_at_any_width(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A recognizer like that of the workplace, with one plan for 64, 96, .. 192 columns."""
    return build_at_any_width(tmp_path_factory.mktemp("any_width"), request.param)


def build_at_any_width(folder: Path, target: str) -> Path:
    """Build the recognizer of the workplace with ``width_step``; return the bundle."""
    path = write_models(folder)["recognizer"]
    model = onnx.load(folder / "recognizer.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_param = "W"
    onnx.save(model, folder / "recognizer.onnx")
    spec = load_spec(path)
    assert isinstance(spec, RecognizerSpec)
    spec = spec.model_copy(update={"buckets": (64, 128), "width_step": 32})
    (result,) = build(fp32_request(spec, folder / "bundles", targets=(target,)))
    assert result.error is None, result.error
    assert len({entry.plan for entry in load_bundle(result.folder).manifest.engines}) == 1
    return result.folder
