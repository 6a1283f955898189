"""Build one engine: calibrate, choose, compile, judge."""

from __future__ import annotations

from pathlib import Path

from .calibrate import Calibrators
from .choose import choose
from .job import TargetJob
from .judge import judge
from .write import BuiltEngine


def build_engine(
    job: TargetJob, calibrators: Calibrators, scratch: Path, *, timed: bool = True
) -> BuiltEngine:
    """Calibrate, choose, compile and judge: everything but writing the bundle.

    ``timed``: see :func:`judge`.

    Raises:
        OcrTrtError: the target has no engine within budget.
    """
    # fp32 needs no ranges, and may be built without any images.
    is_fp32 = job.request.precision == "fp32"
    calibrator = None if is_fp32 else calibrators.lowered_by(job.lower)
    choice = choose(job, calibrator)
    entries = job.compiler.compile(choice.chosen.quantized.graphs, scratch)
    verdict = judge(job, choice.chosen, scratch, entries, timed=timed)
    return BuiltEngine(calibrator=calibrator, choice=choice, entries=entries, verdict=verdict)
