"""The formats and launches of the ops on 2x2 windows, as TensorRT requires them.

The ops are TensorRT's Quickly Deployable Plugins: Python functions describe an op, and TensorRT
reads their type hints as objects. ``from __future__ import annotations`` would turn the hints into
strings, so the files with these functions, ``<op>/tensorrt_plugin.py``, do not import it. The plan
contains the kernel as PTX, so a program that runs the plan needs neither Python nor this project.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from .hwc8 import CHANNELS_PER_GROUP
from .window_kernels import THREADS, WindowKernels

_DTYPES: dict[str, np.dtype] = {"FLOAT": np.dtype(np.float32), "HALF": np.dtype(np.float16)}


def formats(tensors: int) -> list[Any]:
    """Return the formats that TensorRT may choose from for an op with so many tensors.

    All inputs and outputs are linear, in float32 or float16, or all of them are HWC8, which exists
    in float16 only.
    """
    trtp = import_module("tensorrt.plugin")

    def alike(word: str) -> str:
        return ", ".join([word] * tensors)

    return [
        trtp.AutoTuneCombination(alike("FP32|FP16"), alike("LINEAR")),
        trtp.AutoTuneCombination(alike("FP16"), alike("HWC8")),
    ]


def implementation(
    kernels: WindowKernels, ptx: bytes, given: Any, windows: tuple[Any, Any, Any, Any], row: Any
) -> tuple[str, bytes, Any, Any]:
    """Return a kernel's name and PTX, its grid, and its integer parameters.

    Args:
        kernels: the op's kernels.
        ptx: their PTX.
        given: the TensorDesc of an input, whose format and dtype choose the kernel.
        windows: the expressions of the windows' sizes (N, C, H, W).
        row: a TensorDesc whose last axis has one element per window.

    Raises:
        ValueError: there is no kernel for the dtype.
    """
    trtp = import_module("tensorrt.plugin")
    batch, channels, height, width = windows
    numbers: tuple[Any, ...]
    if given.format is not None and given.format.name == "HWC8":
        entry = kernels.hwc8_entry
        numbers = (batch * height, width, trtp.cdiv(channels, CHANNELS_PER_GROUP))
        work = numbers[0] * numbers[1] * numbers[2]
    else:
        # A free axis has the size -1. Only the kernel for rows of any length is right then.
        columns = int(row.shape[3])
        entry, per_thread = kernels.linear_entry(_dtype_of(given), None if columns < 0 else columns)
        numbers = (batch * channels * height, width)
        work = numbers[0] * numbers[1] // per_thread
    launch = trtp.KernelLaunchParams()
    launch.grid_x = trtp.max(1, trtp.cdiv(work, THREADS))
    launch.block_x = THREADS
    parameters = trtp.SymIntExprs.from_tuple([trtp.SymInt32(number) for number in numbers])
    return entry, ptx, launch, parameters


def _dtype_of(desc: Any) -> np.dtype:
    """Return the NumPy dtype of a TensorDesc."""
    name = desc.dtype.name
    if name not in _DTYPES:
        raise ValueError(f"no kernel for {name}; there are kernels for {', '.join(_DTYPES)}")
    return _DTYPES[name]
