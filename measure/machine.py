"""The machine and the versions that a report was measured with."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from ..common.cores import usable_cores
from ..common.version import __version__

_PACKAGES = ("tensorflow", "tensorflow-cpu", "tf2onnx", "onnx", "onnxruntime", "openvino", "numpy")


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:  # not Linux
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


def machine() -> dict[str, str]:
    """Return processor, usable cores and system."""
    return {
        "processor": _processor(),
        "cores": str(usable_cores()),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of ocr-trt, Python and the packages that convert and run models."""
    versions = {"ocr-trt": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
