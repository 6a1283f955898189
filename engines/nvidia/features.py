"""Detect the differences between NVIDIA's packages by the names that a package defines.

Versions do not distinguish TensorRT from TensorRT-RTX, and the numbers of enum members differ
between TensorRT 10 and 11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Features:
    """How one of NVIDIA's packages differs from the others."""

    names_gpus: bool
    """The builder accepts the compute capabilities to build for, and needs no GPU."""
    checks_headers: bool
    """The runtime can check a plan's header before the plan is loaded."""
    captures_itself: bool
    """The runtime records CUDA graphs itself, and can save the kernels it compiled."""


def features_of(trt: Any) -> Features:
    """Return the features of a package: ``tensorrt`` 10 or 11, or ``tensorrt_rtx``."""
    names_gpus = hasattr(trt.IBuilderConfig, "set_compute_capability")
    return Features(
        names_gpus=names_gpus,
        checks_headers=hasattr(trt.Runtime, "get_engine_validity"),
        captures_itself=hasattr(trt, "CudaGraphStrategy"),
    )
