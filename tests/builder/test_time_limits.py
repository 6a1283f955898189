"""A compiler or a first run that never ends stops the build with an error, and leaves nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ocr_trt.builder import build
from ocr_trt.engines.onnxruntime import backend as onnxruntime
from ocr_trt.engines.tensorflow import baseline
from ocr_trt.errors import ConversionError
from tests.builder.small_build import fp32_request, small_spec


def _endless(*_: Any) -> Any:
    while True:
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow half a second; the conversion keeps its own limit."""
    monkeypatch.setattr("ocr_trt.builder.time_limits.seconds_allowed", lambda: 0.5)


def test_compiler_that_does_not_end_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(onnxruntime.BACKEND), "build", _endless)
    request = fp32_request(small_spec(tmp_path), tmp_path / "out", targets=("onnxruntime",))
    (result,) = build(request)
    assert isinstance(result.error, ConversionError)
    for fact in ("longer than 0.5 s", "compilation for onnxruntime", "OCR_TRT_CONVERT_SECONDS"):
        assert fact in str(result.error)
    assert list((tmp_path / "out").iterdir()) == []


def test_model_that_does_not_end_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline._OnnxRunner, "execute", _endless)
    with pytest.raises(ConversionError, match="first run of source in onnxruntime"):
        build(fp32_request(small_spec(tmp_path), tmp_path / "out", targets=("onnxruntime",)))
