"""Convert TensorFlow OCR models to fast engines of measured accuracy, and read text with them.

import ocr_trt

with ocr_trt.open_reader("bundles/detector", "bundles/recognizer") as reader:
    for line in reader.read("receipt.jpg").lines:
        print(line.text, line.quad)
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .common.version import __version__

# onnxruntime 1.30 and later writes a device id below the home folder, and sends events that contain
# paths and messages to its vendor. It reads this variable when it is imported, which tf2onnx and
# onnxscript do too; its function ``disable_telemetry_events`` comes too late. Children inherit it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from .builder import BuildRequest, build
    from .engines.bundle import load_bundle
    from .engines.engine import Engine
    from .errors import OcrTrtError, ReaderClosedError
    from .ocr.image import load_image
    from .pipeline.any_reader import Reader
    from .pipeline.gpu import GpuReader
    from .pipeline.open_reader import open_reader
    from .pipeline.read_result import ReadResult
    from .pipeline.reader import OcrReader, ReadSettings
    from .pipeline.text_lines import TextLine
    from .spec import load_spec

__all__ = [
    "BuildRequest",
    "Engine",
    "GpuReader",
    "OcrReader",
    "OcrTrtError",
    "ReadResult",
    "ReadSettings",
    "Reader",
    "ReaderClosedError",
    "TextLine",
    "__version__",
    "build",
    "load_bundle",
    "load_image",
    "load_spec",
    "open_reader",
]

# The module of each public name. The imports above serve type checkers and editors only.
_MODULES = {
    "BuildRequest": "builder",
    "Engine": "engines.engine",
    "GpuReader": "pipeline.gpu",
    "OcrReader": "pipeline.reader",
    "OcrTrtError": "errors",
    "ReadResult": "pipeline.read_result",
    "ReadSettings": "pipeline.reader",
    "Reader": "pipeline.any_reader",
    "ReaderClosedError": "errors",
    "TextLine": "pipeline.text_lines",
    "build": "builder",
    "load_bundle": "engines.bundle",
    "load_image": "ocr.image",
    "load_spec": "spec",
    "open_reader": "pipeline.open_reader",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that ``import ocr_trt`` stays fast (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    """List the public names, most of which are not imported yet, for help() and editors."""
    return list(__all__)
