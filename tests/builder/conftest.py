"""Fixtures of the tests of the build: small ONNX models, written once per session."""

from __future__ import annotations

import pytest

from ocr_trt.spec import DetectorSpec, RecognizerSpec
from tests.builder.small_build import small_recognizer_spec, small_spec


@pytest.fixture(scope="session")
def onnx_detector(tmp_path_factory: pytest.TempPathFactory) -> DetectorSpec:
    """The small detector at 32x32, with a budget of 0.5 points; not to be changed."""
    return small_spec(tmp_path_factory.mktemp("detector"), max_loss=0.5)


@pytest.fixture(scope="session")
def onnx_recognizer(tmp_path_factory: pytest.TempPathFactory) -> RecognizerSpec:
    """The small recognizer at 32x32 and 32x64, with a budget of 0.3 points; not to be changed."""
    return small_recognizer_spec(tmp_path_factory.mktemp("recognizer"), max_loss=0.3)
