"""Compare the inner tensors of a target with those of the quantized graph it was built from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..common.inner_tensors import read_tensors
from ..engines.bundle import Bundle
from ..engines.targets import backend
from .divergence import decibels
from .steps import GraphPair

Array = npt.NDArray[np.float32]
_AT_ONCE = 8
"""Tensors that are read in one run: each of them is held in memory twice."""
_STILL_THERE = 4.0
"""Factor by which reading inner tensors may lower the noise of the output, at most.

If the noise falls further, reading the tensors has removed the fault itself.
"""


def noise_between(reference: Array, other: Array) -> tuple[float, float]:
    """Return the power of the reference around its mean, and that of the difference."""
    exact = reference.astype(np.float64)
    with np.errstate(all="ignore"):
        return float(np.square(exact - exact.mean()).sum()), float(np.square(exact - other).sum())


def target_tensors(
    bundle: Bundle, pair: GraphPair, width: int, feed: Array, output: Array
) -> tuple[dict[str, float | None], str]:
    """Compare the tensors that a target computes with those of its graph, on one sample.

    Args:
        bundle: a bundle whose target runs here.
        pair: its quantized graph at that width, and any reference.
        width: input width in pixels.
        feed: (1, C, H, width).
        output: the target's output for ``feed`` when no inner tensor is read.

    Returns:
        dB by tensor, None if the tensors are equal; and why tensors could not be read, or "".
    """
    target = backend(bundle.manifest.target)
    plans = {entry.width: bundle.path(entry.plan) for entry in bundle.manifest.engines}
    exit_ = pair.quantized_model.graph.output[0].name
    found = dict[str, float | None]()
    tensors = [(step.name, step.value) for step in pair.steps if step.is_float]
    for start in range(0, len(tensors), _AT_ONCE):
        values = tensors[start : start + _AT_ONCE]
        shown = target.look_inside(plans[width], [name for name, _ in values], feed)
        if not shown:
            return {}, f"{target.name} does not show its inner tensors"
        names = dict.fromkeys((*(value for _, value in values), exit_))
        exact = read_tensors(pair.quantized_model, names, feed, optimize=False)
        # Returning a tensor can keep the target from fusing the ops around it.
        inside, outside = (noise_between(exact[exit_], each)[1] for each in (shown[exit_], output))
        if not inside * _STILL_THERE >= outside:
            return {}, (
                f"the fault disappears when {target.name} returns inner tensors: its cause is how "
                "the target fuses ops, so it cannot be located this way"
            )
        for name, value in values:
            if name in shown and shown[name].shape == exact[value].shape:
                found[name] = decibels(*noise_between(exact[value], shown[name]))
    return found, ""
