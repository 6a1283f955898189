"""Custom ops as plugins of TensorRT."""

from __future__ import annotations

from ..errors import TargetMissingError
from .cuda.nvrtc import ptx_from_source
from .registry import PLUGINS
from .tensorrt_registration import plugin_module


def register_plugins(floor: int) -> tuple[str, ...]:
    """Register the ops that can be part of a graph; return their names. Once in a process.

    Where TensorRT then meets one in a graph, as a node with the attribute ``plugin_namespace``, it
    takes the kernel and not the function body.

    Args:
        floor: of the kernels, see :data:`cuda.nvrtc.FLOORS`.

    Raises:
        TargetMissingError: TensorRT takes no kernels, or NVRTC is not installed.
        EngineBuildError: NVRTC refuses a kernel.
    """
    if plugin_module() is None:
        raise TargetMissingError("kernels of custom ops need TensorRT 10.9 or later")
    names = []
    for name, plugin in PLUGINS.items():
        if plugin.register is not None:
            plugin.register(ptx_from_source(plugin.source, floor))
            names.append(name)
    return tuple(names)
