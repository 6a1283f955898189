"""Build one target: the engine, its compressed version if requested, and the bundle."""

from __future__ import annotations

from pathlib import Path

from ..common.files import whole_folder
from ..engines.bundle import Bundle, own_files
from ..errors import BudgetError, ConversionError, OcrTrtError
from .build_engine import build_engine
from .calibrate import Calibrators
from .job import TargetJob
from .request import BuildResult
from .smaller_engine import with_compression
from .write import write_bundle


def build_target(job: TargetJob, calibrators: Calibrators) -> BuildResult:
    """Build one target; the bundle appears whole or not at all."""
    folder, target = job.folder, job.target
    try:
        with whole_folder(folder, own_files) as scratch:
            built = build_engine(job, calibrators, scratch)
            if job.request.compress:
                built = with_compression(job, built, calibrators, scratch)
            manifest = write_bundle(job, built, scratch)
    except OcrTrtError as error:
        if isinstance(error, BudgetError):  # the search is complete
            job.remove_logs()
        own = with_older_engine(error, folder)
        return BuildResult(target=target.name, folder=folder, bundle=None, error=own)
    job.remove_logs()
    bundle = Bundle(folder=folder, manifest=manifest)
    return BuildResult(target=target.name, folder=folder, bundle=bundle)


def with_older_engine(error: OcrTrtError, folder: Path) -> OcrTrtError:
    """Return the error with the fact that ``folder`` holds an older engine, if it does.

    Only verdicts on a new engine state it, because an older one must not pass for it.
    """
    if isinstance(error, (BudgetError, ConversionError)) and folder.exists():
        return type(error)(f"{error}; {folder} still contains the older engine")
    return error
