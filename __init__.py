"""Convert TensorFlow OCR models to fast engines of measured accuracy, and read text with them.

Read the text in an image with two bundles that ``ocr-trt build`` wrote:

>>> import ocr_trt
>>> with ocr_trt.open_reader("bundles/detector", "bundles/recognizer") as reader:
...     for line in reader.read("receipt.png").lines:
...         print(line.text, line.quad[0].tolist())
TOTAL 12.50 [16.0, 16.0]
THANK YOU [16.0, 64.0]

Threads: any number of threads may use one reader at the same time, and get the results that one
thread would get. In a server, open the reader with ``mode="throughput"``. After a fork, open a
reader in each process. If one thread closes the reader, the reads of other threads that have begun
end normally; reads that wait, and later ones, raise :class:`ClosedError`.

asyncio: ``await reader.aread(image)`` does not block the event loop. A read that is cancelled, for
example by ``asyncio.wait_for``, ends early.

Errors: every error that this package raises on purpose is an :class:`OcrTrtError`, except a
TypeError for arguments of a wrong type. Messages state what happened and what to do.

Logging: all messages go to loggers below ``ocr_trt``; ``logging.getLogger("ocr_trt")`` controls
them. INFO reports opened readers and the steps of a build, DEBUG every read.

Types: the package contains type annotations (``py.typed``).
"""

from __future__ import annotations

import logging
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .common.version import __version__

# onnxruntime 1.30 and later writes a device id below the home folder, and sends events that contain
# paths and messages to its vendor. It reads this variable when it is imported, which tf2onnx and
# onnxscript do too; its function ``disable_telemetry_events`` comes too late. Children inherit it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Without a handler, Python would print warnings of a library on stderr.
logging.getLogger(__name__).addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from .bench.compare_bundles import compare
    from .bench.results import Report
    from .builder import BuildRequest, BuildResult, Reporter, build
    from .calibration.images import load_calibration
    from .engines.bundle import Bundle, load_bundle
    from .engines.engine import Engine
    from .errors import (
        BudgetError,
        ClosedError,
        ConversionError,
        EngineBuildError,
        InputFileError,
        OcrTrtError,
        OutOfMemoryError,
        OutputError,
        SpecError,
        TargetMissingError,
        UserError,
    )
    from .ocr.dataset import load_dataset
    from .ocr.image import ImageFile, load_image, open_image
    from .pipeline.any_reader import Reader
    from .pipeline.gpu import GpuReader
    from .pipeline.open_reader import open_reader
    from .pipeline.read_result import ReadResult
    from .pipeline.reader import OcrReader, ReadSettings
    from .pipeline.text_lines import TextLine
    from .spec import load_spec

__all__ = [
    "BudgetError",
    "BuildRequest",
    "BuildResult",
    "Bundle",
    "ClosedError",
    "ConversionError",
    "Engine",
    "EngineBuildError",
    "GpuReader",
    "ImageFile",
    "InputFileError",
    "OcrReader",
    "OcrTrtError",
    "OutOfMemoryError",
    "OutputError",
    "ReadResult",
    "ReadSettings",
    "Reader",
    "Report",
    "Reporter",
    "SpecError",
    "TargetMissingError",
    "TextLine",
    "UserError",
    "__version__",
    "build",
    "compare",
    "load_bundle",
    "load_calibration",
    "load_dataset",
    "load_image",
    "load_spec",
    "open_image",
    "open_reader",
]

# The public names of each module. The imports above serve type checkers and editors only.
_NAMES = {
    "bench.compare_bundles": ("compare",),
    "bench.results": ("Report",),
    "builder": ("BuildRequest", "BuildResult", "Reporter", "build"),
    "calibration.images": ("load_calibration",),
    "engines.bundle": ("Bundle", "load_bundle"),
    "engines.engine": ("Engine",),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "ocr.dataset": ("load_dataset",),
    "ocr.image": ("ImageFile", "load_image", "open_image"),
    "pipeline.any_reader": ("Reader",),
    "pipeline.gpu": ("GpuReader",),
    "pipeline.open_reader": ("open_reader",),
    "pipeline.read_result": ("ReadResult",),
    "pipeline.reader": ("OcrReader", "ReadSettings"),
    "pipeline.text_lines": ("TextLine",),
    "spec": ("load_spec",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that ``import ocr_trt`` stays fast (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    """List the public names, most of which are not imported yet, for help() and editors."""
    return list(__all__)
