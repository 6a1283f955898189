"""Choose the precision of every layer: the quantized graphs that become the engine."""

from __future__ import annotations

from ..calibration.calibrator import Calibrator
from .calibrate import keep_ranges
from .job import TargetJob
from .search import PrecisionChoice, best_method, search
from .trial_log import TrialLog
from .trials import TrialRecord, TrialRunner, fp32_candidate, half_candidate, int8_candidate


def choose(job: TargetJob, calibrator: Calibrator | None) -> PrecisionChoice:
    """Return the quantized graphs for a target.

    Precision "best" and method "auto" require a search, which measures candidates.

    Args:
        job: the target.
        calibrator: for the graphs that the target needs; None for fp32.

    Raises:
        InputFileError: a calibration image cannot be read.
        ConversionError: nothing in the model can have the precision.
        EngineBuildError: the target refuses a candidate.
    """
    precision = job.request.precision
    if calibrator is None:
        return PrecisionChoice(chosen=fp32_candidate(job.graphs), reason="fp32 was requested")
    if precision in ("fp16", "bf16"):
        chosen = half_candidate(calibrator, precision)
        keep_ranges(job.request, calibrator)
        return PrecisionChoice(chosen=chosen, reason=f"{precision} was requested")
    if precision == "int8" and job.request.method != "auto":
        # One candidate, so nothing has to be measured to choose it.
        chosen = int8_candidate(calibrator, job.quantization, "int8")
        keep_ranges(job.request, calibrator)
        reason = "int8 was requested, wherever the target supports it"
        return PrecisionChoice(chosen=chosen, reason=reason)
    return _searched(job, calibrator)


def _searched(job: TargetJob, calibrator: Calibrator) -> PrecisionChoice:
    """Search for the precision, or for the calibration method alone with ``--method auto``."""
    log = TrialLog(job.log_path("trials"), TrialRecord)
    runner = TrialRunner(job, calibrator, log)
    if job.request.precision == "best":
        choice = search(runner, calibrator, job.quantization, job.methods)
    else:
        best, trials = best_method(runner, calibrator, job.quantization, job.methods)
        reason = "of all calibration methods, this one loses least accuracy in int8"
        choice = PrecisionChoice(chosen=best.candidate, reason=reason, trials=trials)
    # Removed only after a complete search; an interrupted search continues from its log. With
    # compression, several searches follow each other, and share the log.
    if not job.request.compress:
        log.remove()
    return choice
