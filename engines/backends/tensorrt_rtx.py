"""TensorRT for RTX: NVIDIA's builder from PyPI needs no GPU; running its engines does."""

from __future__ import annotations

from ..nvidia.backend import NvidiaBackend

BACKEND = NvidiaBackend(
    name="tensorrt-rtx",
    package="tensorrt_rtx",
    extra="rtx",
    refused={
        "optimization": "builds the same plan at every level",
        "hardware": "is told its GPUs by --compute-capability",
        "version_compatible": "has no lean runtime",
        "refit": "refits only plans that were built on a GPU",
        "strip": "leaves weights out only on a GPU",
        "timing_cache": "times nothing",
    },
)
