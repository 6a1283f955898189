"""Candidates for an engine: quantized graphs, and what was measured of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from ..calibration.calibrator import Calibrator, Graphs, QuantizationSettings, QuantizedGraphs
from ..convert.audit import node_flops
from ..engines.manifest import OcrMetric, Precision

ROUNDING = 1e-9
"""Points: 0.95 - 0.945 is a little more than 0.005."""
QUANTIZED = ("Conv", "ConvTranspose", "MatMul")
"""Ops whose FLOPs are counted for the share of int8."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """QuantizedGraphs graphs. ``label`` says what they are; ``typing`` is None for fp32."""

    label: str
    precision: Precision
    quantization: QuantizationSettings | None
    quantized: QuantizedGraphs
    int8_share: float = 0.0

    @property
    def held(self) -> tuple[str, ...]:
        """Ops that were given back to float."""
        return tuple(self.quantization.held) if self.quantization else ()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A candidate, measured.

    ``distance``: from the float graph, see ``calibration.noise``. ``latency``: its median in
    milliseconds, if the target can run here.
    """

    candidate: Candidate
    metric: OcrMetric | None
    distance: float
    latency: float | None = None

    @property
    def loss(self) -> float:
        """Points lost against the baseline; 0 without samples."""
        return self.metric.loss if self.metric else 0.0

    def is_within(self, budget: float) -> bool:
        """Whether it loses no more than so many points."""
        return self.loss <= budget + ROUNDING


def float_candidate(graphs: Graphs) -> Candidate:
    """Return the graphs as they are."""
    return Candidate(
        label="fp32", precision="fp32", quantization=None, quantized=QuantizedGraphs(graphs=graphs)
    )


def half_candidate(calibrator: Calibrator, precision: Literal["fp16", "bf16"]) -> Candidate:
    """Type everything in 16 bits that holds there."""
    quantization = QuantizationSettings(precision=precision)
    return Candidate(
        label=precision,
        precision=precision,
        quantization=quantization,
        quantized=calibrator.quantized(quantization),
    )


def int8_candidate(
    calibrator: Calibrator, quantization: QuantizationSettings, label: str
) -> Candidate:
    """Type everything in int8 that may be and is not held."""
    quantized = calibrator.quantized(quantization)
    share = int8_share(calibrator.graphs, quantized)
    return Candidate(
        label=label,
        precision="int8",
        quantization=quantization,
        quantized=quantized,
        int8_share=share,
    )


def int8_share(graphs: Graphs, quantized: QuantizedGraphs) -> float:
    """Return the share of the FLOPs of convolutions and matrix products that run in int8."""
    graph = ir.from_proto(graphs[max(graphs)]).graph
    work = {
        str(node.outputs[0].name): node_flops(node) for node in graph if node.op_type in QUANTIZED
    }
    total = sum(work.values())
    done = sum(flops for name, flops in work.items() if name not in quantized.exceptions)
    return done / total if total else 0.0
