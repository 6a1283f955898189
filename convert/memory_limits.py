"""Refuse a spec whose model needs more memory than there is, before anything runs the model.

Linux ends a process that uses too much memory without a message, often minutes after its start.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from ..common.limits import bytes_text
from ..common.memory import available_memory
from ..errors import SpecError
from .analysis.activations import Peak, peak_of_model

LOWEST_SHARE = 0.9
"""Share of the estimate that is surely needed: onnxruntime, which runs the graph in every build,
needs more than the whole estimate (docs/limits.md), so that what fits is never refused."""


def check_model_memory(model: ir.Model, shape: Sequence[int]) -> None:
    """Check a graph whose shapes are inferred for an input of ``shape``.

    Raises:
        SpecError: even :data:`LOWEST_SHARE` of the estimate is more than the memory available; it
            states the estimate, the memory, and what to change.
    """
    check_peak(peak_of_model(model), shape)


def check_peak(peak: Peak, shape: Sequence[int]) -> None:
    """Check an estimate; see :func:`check_model_memory`."""
    free = available_memory()
    if LOWEST_SHARE * peak.bytes > free:
        raise SpecError(
            f"the model needs about {bytes_text(peak.bytes)} of memory for an input of shape "
            f"{list(shape)} (at {peak.at:.120}), but {bytes_text(free)} are available; make height "
            "or width smaller (input.shape in the spec), lower input.max_batch, or use a machine "
            "or container with more memory"
        )
