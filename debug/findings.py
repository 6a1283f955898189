"""The results of ``ocr-trt debug`` as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..common.frozen_model import FrozenModel
from ..spec import Role
from .divergence import Culprit, StepRow

Verdict = Literal["same", "graph", "target"]
"""The outputs are equal; the quantized graph loses accuracy; the target computes something else."""


class SampleRow(FrozenModel):
    """One sample and the results for it, as text.

    ``lost``: hmean (0..1) or characters lost against the baseline. ``repaired``: the result after
    the reference's ops have replaced the culprit. ``image``: HTML for the page.
    """

    name: str
    lost: float
    baseline: str
    engine: str
    truth: str = ""
    repaired: str = ""
    image: str = Field("", repr=False)


class DebugReport(FrozenModel):
    """The whole report.

    ``graph`` and ``target``: dB at the output, of the quantized graph against the reference, and of
    the target against the quantized graph; None: equal.
    """

    schema_version: Literal[1] = 1
    bundle: str
    data: str = ""
    """The folder of the samples."""
    name: str
    role: Role
    target_name: str
    precision: str
    reference: str
    looked_at: int
    worse: int
    verdict: Verdict
    graph: float | None
    target: float | None
    target_ran: bool = True
    """Whether the target runs here; if not, its quantized graph ran in onnxruntime instead."""
    repaired: float | None = None
    """dB at the output for the first sample, after the reference's ops replaced the culprit."""
    first: float | None = None
    """The same without the repair."""
    culprit: Culprit | None = None
    steps: tuple[StepRow, ...] = ()
    samples: tuple[SampleRow, ...] = ()
    notes: tuple[str, ...] = ()


def db_text(value: float | None) -> str:
    """Return decibels as text."""
    if value is None:
        return "no difference"
    return "no signal left" if value <= -99 else f"{value:.1f} dB"
