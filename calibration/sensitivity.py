"""Measure the sensitivity of each layer to int8: its own cost, and that of all other layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..ocr.roles import role_of
from ..spec import ModelSpec
from .calibrator import Calibrator, QuantizationSettings
from .noise import run_all
from .observe import Batch


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """Distances from the output of the float graph; 0 means equal."""

    node: str
    """First output of the op."""
    alone: float
    """Only this op is in int8."""
    without: float
    """All ops except this one are in int8."""


def sensitivities(
    calibrator: Calibrator,
    quantization: QuantizationSettings,
    spec: ModelSpec,
    feeds: Sequence[Batch],
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Sensitivity, ...]:
    """Measure every op that may run in int8, in the order of the graph.

    Args:
        calibrator: of the model.
        quantization: settings of int8. Ops that it excludes are skipped; all others run in fp32.
        spec: its role decides the distance.
        feeds: a few images, (N, C, H, W).
        progress: called with the number of ops measured so far.
    """
    reference = run_all(calibrator.graphs, feeds)
    ops = [node for node in calibrator.layers() if node in calibrator.ops(quantization)]
    plain = replace(quantization, fallback="fp32")

    def cost(excluded: Sequence[str]) -> float:
        if len(excluded) == len(ops):  # nothing is left in int8: the float graph itself
            return 0.0
        reasons = {
            **quantization.excluded,
            **dict.fromkeys(excluded, "excluded to measure its cost"),
        }
        quantized = calibrator.quantized(replace(plain, excluded=reasons))
        return role_of(spec).output_distance(reference, run_all(quantized.graphs, feeds))

    found = []
    for done, node in enumerate(ops, 1):
        others = [other for other in ops if other != node]
        found.append(Sensitivity(node=node, alone=cost(others), without=cost([node])))
        progress(done)
    return tuple(found)
