"""What NVIDIA's builders can be told: ``ocr-trt build --trt NAME=VALUE``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...errors import UserError


class NvidiaOptions(BaseModel):
    """Options of a build; the defaults suit an engine that runs where it was built."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workspace: int = Field(4096, ge=64, le=1 << 20)
    """MiB that a layer may use as scratch memory. Under 64 common convolutions find no kernel."""
    optimization: int = Field(3, ge=0, le=5)
    """How long the builder looks for fast kernels."""
    hardware: Literal["same-gpu", "same-compute-capability", "ampere-plus"] = "same-gpu"
    """Which GPUs the plan is for, beside the one it is built on. More of them: fewer kernels."""
    version_compatible: bool = False
    """Let later versions of TensorRT run the plan. It then has code in it that runs on the host."""
    refit: bool = False
    """Let weights be replaced later; keeps the builder from using their values."""
    strip: bool = False
    """Leave the weights out of the plan; loading takes them from the bundle's ONNX."""
    sparse: bool = False
    """Use kernels for weights of which two in four are zero."""
    timing_cache: bool = True
    """Remember how fast kernels were, for later builds by the same version on the same GPU."""


def options_from(words: Iterable[str]) -> NvidiaOptions:
    """Read ``name=value`` words; names may be written with ``-``.

    Raises:
        UserError: no such option, or no such value of it.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        key = name.strip().replace("-", "_")
        if not equals or key not in NvidiaOptions.model_fields:
            known = ", ".join(name.replace("_", "-") for name in NvidiaOptions.model_fields)
            raise UserError(f"--trt {word}: write NAME=VALUE, where NAME is one of {known}")
        found[key] = value.strip()
    try:
        return NvidiaOptions.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise UserError(f"--trt {name.replace('_', '-')}={found[name]}: {first['msg']}") from None


def changed(options: NvidiaOptions) -> dict[str, int | str | bool]:
    """Return the options that are not what they are by default."""
    return options.model_dump(exclude_defaults=True)
