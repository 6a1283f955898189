"""Where a target leaves its own graph: its inner tensors beside those of the quantized ONNX."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..common.inner_tensors import read_tensors
from ..engines.bundle import Bundle
from ..engines.targets import backend
from .divergence import decibels
from .steps import GraphPair

Array = npt.NDArray[np.float32]
_AT_ONCE = 8
"""Tensors that are held at a time."""
_STILL_THERE = 4.0
"""Times less noise at the output that a look inside may leave before the fault counts as gone."""


def noise_between(reference: Array, other: Array) -> tuple[float, float]:
    """Return the signal of one array, around its mean, and the noise of the other against it."""
    exact = reference.astype(np.float64)
    with np.errstate(all="ignore"):
        return float(np.square(exact - exact.mean()).sum()), float(np.square(exact - other).sum())


def target_tensors(
    bundle: Bundle, pair: GraphPair, width: int, feed: Array, output: Array
) -> tuple[dict[str, float | None], str]:
    """Compare what a target computes inside with its graph, on one sample.

    Args:
        bundle: the bundle, whose target runs here.
        pair: its quantized graph at that width, beside any reference.
        width: input width in pixels.
        feed: (1, C, H, width).
        output: what the target gives for it when nobody looks inside.

    Returns:
        dB by tensor, None where they are equal, and why tensors could not be seen, or "".
    """
    target = backend(bundle.manifest.target)
    plans = {entry.width: bundle.path(entry.plan) for entry in bundle.manifest.engines}
    exit_ = pair.quantized_model.graph.output[0].name
    found = dict[str, float | None]()
    for values in _groups([(step.name, step.value) for step in pair.steps if step.is_float]):
        shown = target.look_inside(plans[width], [name for name, _ in values], feed)
        if not shown:
            return {}, f"{target.name} does not show its inner tensors"
        names = dict.fromkeys((*(value for _, value in values), exit_))
        exact = read_tensors(pair.quantized_model, names, feed, optimize=False)
        inside, outside = (noise_between(exact[exit_], each)[1] for each in (shown[exit_], output))
        if not inside * _STILL_THERE >= outside:
            return {}, (
                f"the fault is gone when {target.name} is asked for inner tensors: it lies in how "
                "ops are joined, and cannot be seen from outside"
            )
        for name, value in values:
            if name in shown and shown[name].shape == exact[value].shape:
                found[name] = decibels(*noise_between(exact[value], shown[name]))
    return found, ""


def _groups(pairs: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    for start in range(0, len(pairs), _AT_ONCE):
        yield pairs[start : start + _AT_ONCE]
