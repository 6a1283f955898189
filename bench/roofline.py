"""How fast an engine is against what the machine can do, as data: the roofline model.

Williams, Waterman, Patterson: "Roofline: an insightful visual performance model for multicore
architectures", CACM 52 (2009). A layer takes at least

    max(FLOPs / peak of the precision it runs in, bytes / bandwidth of the memory)

A layer whose tensors stay in the caches can be faster than the memory's roof; it is over 100 %.
"""

from __future__ import annotations

from ..common.frozen_model import FrozenModel
from ..engines.manifest import Precision


def percent(share: float) -> str:
    """Return a share as a whole percentage."""
    return f"{100 * share:.0f} %"


class LayerRoofline(FrozenModel):
    """One layer of a plan, in its place in the roofline."""

    name: str
    """The node of the quantized graph that computes its result; else the target's own name."""
    kind: str
    precision: str
    """What it computes in; "" if the target has another word for it."""
    milliseconds: float
    """Median, with the target's counters on."""
    flops: int
    bytes: int
    """Read and written, weights too, as they are stored."""
    attainable: float
    """Milliseconds that it takes at least by the roofline."""

    @property
    def intensity(self) -> float:
        """FLOPs per byte."""
        return self.flops / self.bytes if self.bytes else 0.0

    @property
    def achieved(self) -> float:
        """Share of the roofline."""
        return self.attainable / self.milliseconds

    @property
    def lost(self) -> float:
        """Milliseconds over the roofline."""
        return max(0.0, self.milliseconds - self.attainable)


class Roofline(FrozenModel):
    """An engine at one batch size."""

    batch: int
    precision: Precision
    """Of the peak that the engine as a whole is held against."""
    milliseconds: float
    """Median latency, with no counters on."""
    flops: int
    """Of one run."""
    peak: float | None
    """FLOP/s of that precision; None where it was not measured."""
    layers: tuple[LayerRoofline, ...] = ()
    """In the order they run; none where the target tells nothing of its layers."""
    between: float = 0.0
    """Milliseconds of a run that belong to no layer."""
    unplaced: int = 0
    """FLOPs of which no layer is known that does them."""
    uncounted: tuple[str, ...] = ()
    """Nodes whose FLOPs are not counted."""
    why: str = ""
    """Why it is not faster, in words."""

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
        """Milliseconds of all layers and the time between; shares of time are of this."""
        return sum(layer.milliseconds for layer in self.layers) + self.between

    @property
    def attainable(self) -> float:
        """Milliseconds if no layer were slower than the roofline, and no time were between."""
        return sum(min(layer.milliseconds, layer.attainable) for layer in self.layers)
