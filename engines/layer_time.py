"""What one layer of a plan costs."""

from __future__ import annotations

from dataclasses import dataclass

BETWEEN = "Between layers"
"""Kind of what is no layer: the time of a run that belongs to none."""


@dataclass(frozen=True, kw_only=True)
class LayerTime:
    """One layer of a plan, timed in runs of the whole plan.

    Attributes:
        name: the target's own.
        kind: "Convolution", "Reorder" and the like, as the target says it.
        precision: what it computes in: "fp32", "bf16", "fp16", "int8"; "" if the target has another
            word for it.
        milliseconds: of one run, a median.
        bytes: of all it reads and writes, weights too, as they are stored; an input of which a part
            is taken counts as that part, and a new shape of the same data as nothing.
        nodes: the nodes of the built graph, functions inlined, that it stands for; of a fused layer
            several. Some may be the target's own.
    """

    name: str
    kind: str
    precision: str
    milliseconds: float
    bytes: int
    nodes: tuple[str, ...]
