"""TensorFlow functions of one image-like tensor, one for each op that a network could contain.

``tests/tf_ops.py`` converts each and compares it with TensorFlow on every runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Function = Callable[[Any], Any]
IMAGE = (2, 8, 12, 3)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A function of one float32 tensor, drawn uniformly from ``low`` to ``high``."""

    function: Function
    shape: tuple[int, ...] = IMAGE
    low: float = -2.0
    high: float = 2.0
    tolerance: float = 1e-5
    """The largest difference, relative to the largest number that TensorFlow returns."""


def cases_of(functions: dict[str, Function], **settings: Any) -> dict[str, Case]:
    """Return a case for each function, by name; the part of a name before "." is the op."""
    return {name: Case(function=function, **settings) for name, function in functions.items()}
