"""What NVIDIA's packages have, each found by its name.

Numbers of enum members differ between TensorRT 10 and 11, and versions do not tell TensorRT from
TensorRT-RTX; names do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Features:
    """One of NVIDIA's packages, as far as it differs from the others."""

    names_gpus: bool
    """The builder is told which compute capabilities to build for, and needs no GPU itself."""
    tells_validity: bool
    """A plan's header can be checked before the plan is loaded."""
    captures_itself: bool
    """Its runtime makes CUDA graphs, and keeps the kernels it compiled."""


def features_of(trt: Any) -> Features:
    """Look at a package: ``tensorrt`` 10 or 11, or ``tensorrt_rtx``."""
    names_gpus = hasattr(trt.IBuilderConfig, "set_compute_capability")
    return Features(
        names_gpus=names_gpus,
        tells_validity=hasattr(trt.Runtime, "get_engine_validity"),
        captures_itself=hasattr(trt, "CudaGraphStrategy"),
    )
