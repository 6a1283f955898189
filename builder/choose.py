"""From a request to the candidate that becomes the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..calibration.calibrator import Calibrator, Graphs, QuantizationSettings
from ..calibration.methods import METHODS
from ..calibration.noise import run_all
from ..common.progress import Reporter
from ..engines.base import Backend, GraphNeeds
from ..engines.bundle import tree_sha256
from .calibrators import Calibrators, keep_ranges
from .candidate import float_candidate, half_candidate, int8_candidate
from .ledger import Ledger
from .proof import Proof
from .request import BuildRequest
from .search import Found, best_method, search
from .trials import Judge, few_feeds

_FEW = {"detector": 4, "recognizer": 24}
"""Calibration images that distances are measured on."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One target of a build."""

    request: BuildRequest
    target: Backend
    graphs: Graphs
    calibrators: Calibrators
    proof: Proof
    folder: Path
    reporter: Reporter

    @property
    def needs(self) -> GraphNeeds:
        """What the graphs must be for the target."""
        return self.target.needs() if self.request.precision in ("int8", "best") else GraphNeeds()

    @property
    def calibrator(self) -> Calibrator:
        """The calibrator of the graphs that the target needs."""
        return self.calibrators.for_needs(self.needs)

    @property
    def quantization(self) -> QuantizationSettings:
        """Everything in int8, as target and request want it."""
        request, needs = self.request, self.needs
        everywhere = request.everywhere
        products = needs.style.products or everywhere
        return QuantizationSettings(
            precision="int8",
            fallback=needs.fallback,
            style=replace(needs.style, everywhere=everywhere, products=products),
            method=request.method,
            corrections=request.corrections,
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """The calibration methods to choose from."""
        return tuple(METHODS) if self.request.method == "auto" else (self.request.method,)


def choose(job: Job) -> Found:
    """Make, or look for, the quantized graphs of a target.

    Raises:
        InputFileError: a calibration image cannot be read.
        ConversionError: nothing in the model can have the precision.
        EngineBuildError: the target refuses a candidate.
    """
    precision = job.request.precision
    if precision == "fp32":
        return Found(chosen=float_candidate(job.graphs), reason="fp32 was asked for")
    if precision in ("fp16", "bf16"):
        chosen = half_candidate(job.calibrator, precision)
        keep_ranges(job.request, job.calibrator)
        return Found(chosen=chosen, reason=f"{precision} was asked for")
    if precision == "int8" and job.request.method != "auto":
        chosen = int8_candidate(job.calibrator, job.quantization, "int8")
        keep_ranges(job.request, job.calibrator)
        return Found(chosen=chosen, reason="int8 was asked for, wherever the target has it")
    ledger = Ledger(job.folder.with_name(f"{job.folder.name}.trials.jsonl"))
    judge = _judge(job, ledger)
    if precision == "best":
        found = search(judge, job.calibrator, job.quantization, job.methods)
    else:
        best, trials = best_method(judge, job.calibrator, job.quantization, job.methods)
        reason = "of all methods the one by which int8 loses least"
        found = Found(chosen=best.candidate, reason=reason, trials=trials)
    ledger.remove()
    return found


def _judge(job: Job, ledger: Ledger) -> Judge:
    calibrator, samples = job.calibrator, job.proof.samples
    feeds = few_feeds(calibrator, _FEW[job.request.spec.role])
    return Judge(
        request=job.request,
        target=job.target,
        proof=job.proof,
        ledger=ledger,
        samples_sha256=tree_sha256(samples.folder) if samples else "",
        feeds=feeds,
        reference=run_all(calibrator.graphs, feeds),
        reporter=job.reporter,
    )
