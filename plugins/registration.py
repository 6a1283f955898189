"""Registration of custom ops as plugins of TensorRT."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..errors import TargetMissingError
from .cuda.nvrtc import ptx_from_source
from .registry import PLUGINS


def plugin_module() -> ModuleType | None:
    """Return ``tensorrt.plugin`` if it accepts kernels: TensorRT from 10.9 on, not TensorRT-RTX."""
    try:
        module = import_module("tensorrt.plugin")
    except ImportError:
        return None
    return module if hasattr(module, "aot_impl") else None


def register_plugins(floor: int) -> tuple[str, ...]:
    """Register the ops that can be nodes of a graph; return their names.

    Call it once per process. For a node with the attribute ``plugin_namespace`` TensorRT's parser
    then uses the kernel; for any other it uses the function body.

    Args:
        floor: the compute capability to compile for, see :data:`cuda.nvrtc.FLOORS`.

    Raises:
        TargetMissingError: TensorRT accepts no kernels, or NVRTC is not installed.
        EngineBuildError: NVRTC rejects a kernel.
    """
    if plugin_module() is None:
        raise TargetMissingError("kernels of custom ops require TensorRT 10.9 or later")
    # An op that runs around an engine has no registration.
    names = []
    for name, plugin in PLUGINS.items():
        if plugin.register is not None:
            plugin.register(ptx_from_source(plugin.source, floor))
            names.append(name)
    return tuple(names)
