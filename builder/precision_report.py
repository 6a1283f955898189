"""What precision an engine has, layer by layer, and what else was tried: ``precision.json``."""

from __future__ import annotations

from typing import Literal

from ..common.frozen_model import FrozenModel


class LayerRow(FrozenModel):
    """One convolution, deconvolution or matrix product, in the order of the graph.

    ``range``: the largest |x| that its int8 input represents. ``signal_to_noise``: of its result,
    in dB, with all noise of the layers before it. ``alone`` and ``without``: distance of the
    model's output from the float one with this layer alone in int8, and with all but it.
    """

    name: str
    op: str
    precision: Literal["int8", "fp16", "bf16", "fp32"]
    work: float
    """Its share of the FLOPs, 0..1."""
    why: str = ""
    range: float | None = None
    signal_to_noise: float | None = None
    """None where nothing was rounded before."""
    alone: float | None = None
    without: float | None = None


class TrialRow(FrozenModel):
    """A mixture of precisions that was measured. ``loss`` in points, ``latency`` in ms."""

    label: str
    int8_share: float
    loss: float | None
    distance: float
    latency: float | None
    within: bool
    chosen: bool = False


class PrecisionReport(FrozenModel):
    """The precision of an engine. ``metric``: what a loss is points of."""

    schema_version: Literal[1] = 1
    name: str
    target: str
    label: str
    reason: str
    metric: Literal["hmean", "cer"]
    budget: float
    int8_share: float
    layers: tuple[LayerRow, ...]
    trials: tuple[TrialRow, ...] = ()
    findings: tuple[str, ...] = ()
    """What calibration images do not cover well."""
