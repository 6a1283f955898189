"""What each layer costs in int8: it alone, and all but it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..ocr.roles import role_of
from ..spec import DetectorSpec, RecognizerSpec
from .calibrator import Calibrator, QuantizationSettings
from .noise import run_all
from .observe import Batch


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """Of one op, by its first output: distances from the float graph, 0 is equal.

    ``alone``: with it in int8 and nothing else. ``without``: with all but it.
    """

    node: str
    alone: float
    without: float


def sensitivities(
    calibrator: Calibrator,
    quantization: QuantizationSettings,
    spec: DetectorSpec | RecognizerSpec,
    feeds: Sequence[tuple[int, Batch]],
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Sensitivity, ...]:
    """Measure every op that may run in int8, in the order of the graph.

    Args:
        calibrator: of the model.
        quantization: int8, and how; ops that it holds are left out. What is not int8 is fp32 here.
        spec: its role decides which distance is measured.
        feeds: a few images, (width, batch).
        progress: called with the number of ops that are done.
    """
    reference = run_all(calibrator.graphs, feeds)
    ops = [node for node in calibrator.layers() if node in calibrator.ops(quantization)]
    plain = replace(quantization, fallback="fp32")

    def cost(excluded: Sequence[str]) -> float:
        if len(excluded) == len(ops):
            return 0.0
        reasons = {
            **quantization.excluded,
            **dict.fromkeys(excluded, "excluded to see what it costs"),
        }
        quantized = calibrator.quantized(replace(plain, excluded=reasons))
        return role_of(spec).output_distance(reference, run_all(quantized.graphs, feeds))

    found = []
    for done, node in enumerate(ops, 1):
        others = [other for other in ops if other != node]
        found.append(Sensitivity(node=node, alone=cost(others), without=cost([node])))
        progress(done)
    return tuple(found)
