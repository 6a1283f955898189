"""TensorRT's Quickly Deployable Plugins: what all ops need to register there.

A plugin is described by two Python functions whose type hints TensorRT reads, so the files that
have them do without ``from __future__ import annotations``. The kernel goes into the plan as PTX;
what runs the plan needs neither Python nor this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

_DTYPES: dict[str, np.dtype] = {"FLOAT": np.dtype(np.float32), "HALF": np.dtype(np.float16)}


def plugin_module() -> ModuleType | None:
    """Return ``tensorrt.plugin`` if it takes kernels: TensorRT 10.9 and later, not TensorRT-RTX."""
    try:
        module = import_module("tensorrt.plugin")
    except ImportError:
        return None
    return module if hasattr(module, "aot_impl") else None


def dtype_of(desc: Any) -> np.dtype:
    """Return the NumPy dtype of a TensorDesc.

    Raises:
        ValueError: no op takes it.
    """
    name = desc.dtype.name
    if name not in _DTYPES:
        raise ValueError(f"no kernel for {name}; there are some for {', '.join(_DTYPES)}")
    return _DTYPES[name]


def fixed(desc: Any, axis: int) -> int | None:
    """Return a dimension of a TensorDesc, None if it is free."""
    size = int(desc.shape[axis])
    return None if size < 0 else size


def combinations(count: int) -> list[Any]:
    """Return what TensorRT may choose from for an op of so many inputs and outputs.

    All linear, in float32 or float16, or all in HWC8, which is of float16 alone.
    """
    trtp = import_module("tensorrt.plugin")

    def alike(word: str) -> str:
        return ", ".join([word] * count)

    return [
        trtp.AutoTuneCombination(alike("FP32|FP16"), alike("LINEAR")),
        trtp.AutoTuneCombination(alike("FP16"), alike("HWC8")),
    ]


def is_hwc8(desc: Any) -> bool:
    """Whether a TensorDesc is of the channel-packed format, see formats.py."""
    return desc.format is not None and desc.format.name == "HWC8"


def launch_parameters(blocks: Any, threads: int, numbers: Sequence[Any]) -> tuple[Any, Any]:
    """Return a launch in one dimension and a kernel's numbers, as TensorRT takes them.

    ``blocks`` and ``numbers`` may be expressions of the shapes.
    """
    trtp = import_module("tensorrt.plugin")
    launch = trtp.KernelLaunchParams()
    launch.grid_x = trtp.max(1, blocks)
    launch.block_x = threads
    return launch, trtp.SymIntExprs.from_tuple([trtp.SymInt32(number) for number in numbers])
