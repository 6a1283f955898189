"""Compare the inner tensors of a target with those of the quantized graph it was built from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..common.inner_tensors import read_tensors
from ..common.input_size import InputSize
from ..engines.bundle import Bundle
from ..engines.targets import backend
from .divergence import decibels
from .steps import GraphPair

Array = npt.NDArray[np.float32]
_TENSORS_PER_RUN = 8
"""Limit of the tensors that are read in one run, because each is held in memory twice."""
_MAX_NOISE_DROP = 4.0
"""If reading inner tensors lowers the noise of the output by a larger factor, it removed the fault.
"""


def noise_between(reference: Array, other: Array) -> tuple[float, float]:
    """Return the power of the reference around its mean, and the power of the difference."""
    exact = reference.astype(np.float64)
    with np.errstate(all="ignore"):  # outputs may be infinite or NaN; then the noise is, too
        return float(np.square(exact - exact.mean()).sum()), float(np.square(exact - other).sum())


def target_tensors(
    bundle: Bundle, pair: GraphPair, size: InputSize, feed: Array, output: Array
) -> tuple[dict[str, float | None], str]:
    """Compare the tensors that a target computes with those of its graph, on one sample.

    Args:
        bundle: a bundle whose target runs here.
        pair: its quantized graph at that size, and any reference.
        size: height and width of the input.
        feed: (1, C, *size).
        output: the target's output for ``feed`` if no inner tensor is read.

    Returns:
        dB by name of the tensor, None for equal tensors; and the reason if none can be read, or "".
    """
    target = backend(bundle.manifest.target)
    plans = {entry.size: bundle.path(entry.plan) for entry in bundle.manifest.engines}
    output_name = pair.quantized_model.graph.output[0].name
    levels = dict[str, float | None]()
    tensors = [(step.name, step.value) for step in pair.steps if step.is_float]
    for start in range(0, len(tensors), _TENSORS_PER_RUN):
        values = tensors[start : start + _TENSORS_PER_RUN]
        result = target.look_inside(plans[size], [name for name, _ in values], feed)
        if not result:
            return {}, f"{target.name} cannot return inner tensors"
        names = dict.fromkeys((*(value for _, value in values), output_name))
        exact = read_tensors(pair.quantized_model, names, feed, optimize=False)
        # Returning a tensor can keep the target from fusing the ops around it.
        inside, outside = (
            noise_between(exact[output_name], each)[1] for each in (result[output_name], output)
        )
        if not inside * _MAX_NOISE_DROP >= outside:
            return {}, (
                f"the fault disappears when {target.name} returns inner tensors: its cause is how "
                "the target fuses ops, so it cannot be located this way"
            )
        for name, value in values:
            if name in result and result[name].shape == exact[value].shape:
                levels[name] = decibels(*noise_between(exact[value], result[name]))
    return levels, ""
