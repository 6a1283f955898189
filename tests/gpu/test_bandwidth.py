"""Kernels that move data come near the GPU's own copy."""

from __future__ import annotations

from ocr_trt.engines.nvidia.device import CudaDevice

from .bandwidth import rates

WANTED = {"MaxPoolArgmax2d": 0.7, "MaxUnpool2d": 0.7, "ImageToTensor": 0.5}


def test_kernels_reach_their_share_of_the_bandwidth(device: CudaDevice) -> None:
    found = rates(device)
    slow = [
        r for r in found for name, share in WANTED.items() if name in r.what and r.share < share
    ]
    assert not slow, found
