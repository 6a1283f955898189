"""The roofline model as data: the speed of an engine against the limits of the machine.

Williams, Waterman, Patterson: "Roofline: an insightful visual performance model for multicore
architectures", CACM 52 (2009). The time of a layer is at least

    max(FLOPs / peak of its precision, bytes / memory bandwidth)

A layer whose tensors stay in the caches can be faster than the memory, so it can exceed 100 %.
"""

from __future__ import annotations

from math import inf

from ..common.frozen_model import FrozenModel
from ..engines.manifest import Precision


def percent(share: float) -> str:
    """Return a share as a whole percentage."""
    return f"{100 * share:.0f} %"


class LayerRoofline(FrozenModel):
    """One layer of a plan and its roofline."""

    name: str
    """The node of the quantized graph that computes its result, or else the target's name."""
    layer: str = ""
    """The layer of the source model, or the nearest one; "" if that is unknown."""
    kind: str
    precision: str
    """The precision it computes in; "" if the target does not report a known one."""
    milliseconds: float
    """Median time, with the counters of the target on; 0 if they do not resolve it."""
    flops: int
    bytes: int
    """Bytes read and written, including weights, as stored."""
    attainable: float
    """The least time in milliseconds that the roofline allows."""

    @property
    def intensity(self) -> float:
        """FLOPs per byte."""
        return self.flops / self.bytes if self.bytes else 0.0

    @property
    def achieved(self) -> float:
        """Share of the roofline that the layer reaches; 1 is the limit, infinite without a time."""
        return self.attainable / self.milliseconds if self.milliseconds else inf

    @property
    def lost(self) -> float:
        """Milliseconds above the roofline."""
        return max(0.0, self.milliseconds - self.attainable)


class Roofline(FrozenModel):
    """The roofline of an engine at one batch size."""

    batch: int
    precision: Precision
    """The precision whose peak the whole engine is compared with."""
    milliseconds: float
    """Median latency, without counters."""
    flops: int
    """Of one run."""
    peak: float | None
    """FLOP/s of that precision; None where it was not measured."""
    layers: tuple[LayerRoofline, ...] = ()
    """In the order of execution; empty if the target does not report its layers."""
    between: float = 0.0
    """Milliseconds of a run that belong to no layer."""
    unplaced: int = 0
    """FLOPs of nodes that match no layer."""
    uncounted: tuple[str, ...] = ()
    """Nodes whose FLOPs are not counted."""
    why: str = ""
    """Sentences that state why the engine is not faster."""

    @property
    def rate(self) -> float:
        """FLOP/s of the engine as a whole."""
        return 1000 * self.flops / self.milliseconds

    @property
    def achieved(self) -> float | None:
        """Share of the peak."""
        return self.rate / self.peak if self.peak else None

    @property
    def profiled(self) -> float:
        """Milliseconds of all layers and the time between them: the base of shares of time."""
        return sum(layer.milliseconds for layer in self.layers) + self.between

    @property
    def attainable(self) -> float:
        """Milliseconds if no layer exceeded its roofline and no time passed between layers."""
        return sum(min(layer.milliseconds, layer.attainable) for layer in self.layers)
