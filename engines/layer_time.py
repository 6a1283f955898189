"""The cost of one layer of a plan."""

from __future__ import annotations

from dataclasses import dataclass

BETWEEN = "Between layers"
"""The kind of the item with the time of a run that no layer accounts for."""


@dataclass(frozen=True, kw_only=True)
class LayerTime:
    """One layer of a plan, timed in runs of the whole plan.

    Attributes:
        name: the target's name of the layer.
        kind: the target's name of its type, such as "Convolution" or "Reorder".
        precision: of its arithmetic: "fp32", "bf16", "fp16", "int8"; "" for any other.
        milliseconds: median time in one run; 0 if the counters of the target do not resolve it.
        bytes: all bytes that it reads and writes as stored, weights included. A slice counts only
            the part that it reads; a reshape counts nothing.
        nodes: the nodes of the built graph (functions inlined) that it computes; several if it is
            fused. Some may exist only in the target.
    """

    name: str
    kind: str
    precision: str
    milliseconds: float
    bytes: int
    nodes: tuple[str, ...]
