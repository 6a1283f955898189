"""TensorRT for RTX: NVIDIA's builder from PyPI needs no GPU; running its engines does."""

from __future__ import annotations

from .backend import NvidiaBackend

_BEFORE_12 = {(7, 5), (8, 0), (8, 6), (8, 9)}
"""Compute capabilities below 12.0. Not 8.7, 9.0 or 10.0: its runtime refuses every plan there."""

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
        "timing-cache": "times no kernels",
        "plugins": "has no kernels of custom ops, it builds their function bodies",
    },
)
