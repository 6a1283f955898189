"""Refuse a spec whose model needs more memory than there is, before anything runs the model.

Linux ends a process that uses too much memory without a message, often minutes after its start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import onnx_ir as ir

from ..common.limits import bytes_text
from ..common.memory import available_memory
from ..errors import SpecError
from .analysis.activations import Peak, peak_of_model
from .graph import static_shape

LOWEST_SHARE = 0.9
"""Share of the estimate that is surely needed: onnxruntime, which runs the graph in every build,
needs more than the whole estimate (docs/limits.md), so that what fits is never refused."""


LARGEST_OUTPUT = 1000
"""Numbers in the output for each number in the input. A recognizer of 20,000 characters has 160."""


def check_model_memory(
    model: ir.Model, shape: Sequence[int], max_batch: int = 1
) -> Callable[[], None]:
    """Check that a graph fits the memory on an input of ``shape``, with which it was inferred.

    Returns:
        A function that checks the same for ``max_batch`` images. It uses the shapes that the graph
        has now; whether the graph will run on so many images may be known only later.

    Raises:
        SpecError: even :data:`LOWEST_SHARE` of the estimate is more than the memory available; it
            states the estimate, the memory, and what to change. Or the output is so large that no
            OCR model has it.
    """
    _check_output(model, shape)
    largest = max(max_batch, shape[0])
    peak, whole = peak_of_model(model, largest / shape[0]), (largest, *shape[1:])
    if not _fits(peak_of_model(model)):
        check_peak(peak, whole)
    return lambda: check_peak(peak, whole)


def _check_output(model: ir.Model, shape: Sequence[int]) -> None:
    """Refuse outputs such as those of a deconvolution with a stride of 65535."""
    for value in model.graph.outputs:
        found = static_shape(value)
        if found is not None and prod(found) > LARGEST_OUTPUT * prod(shape):
            raise SpecError(
                f"the output {value.name} has the shape {list(found)} for an input of shape "
                f"{list(shape)}, expected at most {LARGEST_OUTPUT} numbers for each number in the "
                "input; correct input.shape or output.name in the spec, or the model"
            )


def check_peak(peak: Peak, shape: Sequence[int]) -> None:
    """Check an estimate; see :func:`check_model_memory`."""
    if not _fits(peak):
        free = available_memory()
        raise SpecError(
            f"the model needs about {bytes_text(peak.bytes)} of memory for an input of shape "
            f"{list(shape)} (at {peak.at:.120}), but {bytes_text(free)} are available; make height "
            "or width smaller (input.shape in the spec), lower input.max_batch, or use a machine "
            "or container with more memory"
        )


def _fits(peak: Peak) -> bool:
    return LOWEST_SHARE * peak.bytes <= available_memory()
