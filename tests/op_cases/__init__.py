"""Cases of single TensorFlow ops, see ``case.py``."""

from __future__ import annotations

from .case import Case
from .elementwise import elementwise_cases, positive_cases
from .images import images_cases
from .indexing import indexing_cases
from .integers import comparisons_cases, integers_cases
from .matrices import matrices_cases, reductions_cases
from .shapes import shapes_cases
from .spectra import complex_cases
from .windows import windows_cases


def cases() -> dict[str, Case]:
    """Return all cases by name."""
    return {
        **elementwise_cases(),
        **positive_cases(),
        **integers_cases(),
        **comparisons_cases(),
        **complex_cases(),
        **windows_cases(),
        **images_cases(),
        **indexing_cases(),
        **shapes_cases(),
        **matrices_cases(),
        **reductions_cases(),
    }
