"""TensorRT for RTX: NVIDIA's builder from PyPI needs no GPU; running its engines does."""

from __future__ import annotations

from .trt_common import NvidiaBackend

BACKEND = NvidiaBackend(
    name="tensorrt-rtx", package="tensorrt_rtx", extra="rtx", builds_without_gpu=True
)
