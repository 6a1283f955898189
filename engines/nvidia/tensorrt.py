"""TensorRT 10 and 11, for data center and desktop GPUs; needs NVIDIA's libraries and a GPU."""

from __future__ import annotations

from .backend import NvidiaBackend

BACKEND = NvidiaBackend(
    name="tensorrt",
    package="tensorrt",
    extra="gpu",
    refused={"compute-capability": "builds for the GPU it runs on"},
)
