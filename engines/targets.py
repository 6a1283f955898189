"""The registry of targets. A target is a module of ``engines/`` and one line of ``_MODULES``.

Each module defines ``BACKEND``, a :class:`~.base.Backend`, and imports its runtime library only
when the target is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import UserError, unknown

if TYPE_CHECKING:
    from .base import Backend

_MODULES = {
    "onnxruntime": "onnxruntime.backend",
    "openvino": "openvino.backend",
    "tensorrt": "nvidia.tensorrt",
    "tensorrt-rtx": "nvidia.tensorrt_rtx",
}


def target_names() -> list[str]:
    """Return the names of all targets, including those that cannot be used here."""
    return list(_MODULES)


def backend(target: str) -> Backend:
    """Return the backend of a target.

    Raises:
        UserError: there is no such target.
    """
    if target not in _MODULES:
        raise UserError(unknown("target", target, target_names()))
    # Imported by name, so that no target's module is loaded before its first use.
    return import_module(f".{_MODULES[target]}", __package__).BACKEND
