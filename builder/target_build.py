"""Build one target: calibrate, choose, compile, judge, write."""

from __future__ import annotations

from pathlib import Path

from ..common.files import whole_folder
from ..engines.bundle import Bundle, own_files
from ..errors import BudgetError, ConversionError, OcrTrtError
from .calibrate import Calibrators
from .choose import choose
from .job import TargetJob
from .judge import judge
from .request import BuildResult
from .write import BuiltEngine, write_bundle


def build_target(job: TargetJob, calibrators: Calibrators) -> BuildResult:
    """Build one target; the bundle appears whole or not at all."""
    folder, target = job.folder, job.target
    try:
        with whole_folder(folder, own_files) as scratch:
            built = build_engine(job, calibrators, scratch)
            manifest = write_bundle(job, built, scratch)
    except OcrTrtError as error:
        own = with_older_engine(error, folder)
        return BuildResult(target=target.name, folder=folder, bundle=None, error=own)
    bundle = Bundle(folder=folder, manifest=manifest)
    return BuildResult(target=target.name, folder=folder, bundle=bundle)


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


def with_older_engine(error: OcrTrtError, folder: Path) -> OcrTrtError:
    """Return the error with the fact that ``folder`` holds an older engine, if it does.

    Only verdicts on a new engine state it, because an older one must not pass for it.
    """
    if isinstance(error, (BudgetError, ConversionError)) and folder.exists():
        return type(error)(f"{error}; {folder} still contains the older engine")
    return error
