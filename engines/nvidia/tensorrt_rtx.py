"""TensorRT for RTX: building needs no GPU, running does."""

from __future__ import annotations

from .backend import NvidiaBackend

_BEFORE_12 = {(7, 5), (8, 0), (8, 6), (8, 9)}
"""Supported compute capabilities below 12.0. The runtime refuses plans on 8.7, 9.0 and 10.0."""

BACKEND = NvidiaBackend(
    name="tensorrt-rtx",
    package="tensorrt_rtx",
    extra="rtx",
    runs_on=lambda capability: capability in _BEFORE_12 or capability >= (12, 0),
    refused={
        "optimization": "builds the same plan at every level",
        "hardware": "builds for the GPUs that option compute-capability names",
        "version-compatible": "has no lean runtime",
        "refit": "refits only plans that were built on a GPU",
        "strip": "leaves weights out only on a GPU",
        "timing-cache": "does not time kernels",
        "plugins": "has no kernels of custom ops and builds their function bodies instead",
    },
)
