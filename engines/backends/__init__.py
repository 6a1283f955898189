"""Targets: one file per target, named like it. A new file here is a new target.

Every file defines ``BACKEND``, a :class:`~.base.Backend`. Its libraries are imported only when it
is used.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from ...errors import UserError
from .base import Backend

_NOT_TARGETS = {"__init__", "base"}


def target_names() -> list[str]:
    """Return the names of all targets, whether they are usable here or not."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(file.stem.replace("_", "-") for file in files if file.stem not in _NOT_TARGETS)


def backend(target: str) -> Backend:
    """Return the backend of a target.

    Raises:
        UserError: there is no such target.
    """
    if target not in target_names():
        raise UserError(f"no target {target!r}; there are: {', '.join(target_names())}")
    module = import_module(f".{target.replace('-', '_')}", __name__)
    return module.BACKEND
