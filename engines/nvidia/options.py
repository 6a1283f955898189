"""The build options of NVIDIA's builders: ``ocr-trt build --option NAME=VALUE``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ...common.frozen_model import StrictModel

_CAPABILITY = re.compile(r"\d{1,2}\.\d")


def _capabilities(value: Any) -> Any:
    """Split "8.6,8.9" into a tuple without duplicates."""
    names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    for name in names:
        if not _CAPABILITY.fullmatch(name):
            raise ValueError(
                f"expected comma-separated compute capabilities, such as 8.6,8.9,12.0, got {name!r}"
            )
    return tuple(dict.fromkeys(names))


class NvidiaOptions(StrictModel):
    """Options of a build; the defaults suit an engine that runs where it was built."""

    workspace: int = Field(4096, ge=64, le=1 << 20)
    """MiB that a layer may use as scratch memory; with less than 64, common convolutions have no
    kernel."""
    optimization: int = Field(3, ge=0, le=5)
    """How long the builder looks for fast kernels."""
    hardware: Literal["same-gpu", "same-compute-capability", "ampere-plus"] = "same-gpu"
    """GPUs that can run the plan. A plan for more GPUs has fewer kernels to choose from."""
    version_compatible: bool = False
    """Let later versions of TensorRT run the plan. The plan then contains code for the host."""
    refit: bool = False
    """Allow replacing weights later; the builder then cannot optimize for their values."""
    strip: bool = False
    """Leave the weights out of the plan; loading takes them from the bundle's ONNX."""
    sparse: bool = False
    """Use kernels for weights of which two out of four are zero."""
    timing_cache: bool = True
    """Reuse measured kernel times in later builds with the same version on the same GPU."""
    plugins: bool = False
    """Use the CUDA kernels of custom ops in place of their function bodies."""
    compute_capability: Annotated[tuple[str, ...], BeforeValidator(_capabilities)] = ()
    """GPUs to build for, such as 8.6,8.9; empty: all that the builder chooses by default."""

    def changed(self) -> dict[str, int | str | bool]:
        """Return options that are not defaults, without those that manifests list separately."""
        own = {"plugins", "compute_capability"}
        return self.model_dump(exclude_defaults=True, exclude=own)
