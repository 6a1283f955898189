"""Write a bundle: spec, report of the precision, and the manifest that describes all files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..calibration.calibrator import Calibrator
from ..engines.build_cache import copy_files
from ..engines.bundle import Bundle, file_entries, file_entry, tree_sha256, write_manifest
from ..engines.manifest import (
    Calibration,
    ChosenPrecision,
    Compression,
    EngineEntry,
    Manifest,
    TargetTrial,
    Verdict,
)
from ..measure.machine import versions
from ..spec import ModelSpec, dump_spec, spec_beside, with_max_batch
from .compile import spec_of_entries
from .compression_report import CompressionReport
from .job import TargetJob
from .precision_page import write_precision
from .precision_report import precision_report
from .search import PrecisionChoice
from .trials import Candidate

SPEC_FILE = "spec.yaml"


@dataclass(frozen=True, kw_only=True)
class BuiltEngine:
    """The results of all steps before the bundle is written."""

    calibrator: Calibrator | None
    """None for fp32."""
    choice: PrecisionChoice
    entries: Sequence[EngineEntry]
    verdict: Verdict
    compared_targets: tuple[TargetTrial, ...] = ()
    """See ``Manifest``."""
    compression: Compression | None = None
    """See ``Manifest``."""
    compression_report: CompressionReport | None = None


def write_bundle(job: TargetJob, built: BuiltEngine, scratch: Path) -> Manifest:
    """Complete a bundle in ``scratch``, which already contains the plans."""
    request, target, chosen = job.request, job.target, built.choice.chosen
    spec = write_spec(job.spec, built.entries, scratch, job.folder)
    # In fp32 there is nothing to report, because every layer has the same precision, unless the
    # layers were compressed.
    if built.calibrator is not None:
        with job.reporter.step("measure every layer"):
            report = precision_report(job, built.calibrator, built.choice)
            report = report.model_copy(
                update={"targets": built.compared_targets, "compression": built.compression_report}
            )
            write_precision(report, scratch)
    manifest = Manifest(
        spec=spec,
        target=target.name,
        precision=request.precision,
        source_sha256=tree_sha256(job.spec.source.path),
        versions={**versions(), target.name: target.availability().version},
        settings=target.built_with(request.settings),
        largest_weight=job.needs.style.largest_weight,
        engines=tuple(built.entries),
        int8_share=chosen.int8_share if job.has_int8 else None,
        precision_exceptions=chosen.quantized.exceptions,
        choice=_choice(built.choice),
        compared_targets=built.compared_targets,
        calibration=_calibration(built.calibrator, chosen) if built.calibrator else None,
        compression=built.compression,
        batch_limit=job.batch_limit,
        verdict=built.verdict,
        # Last: size and hash of every file that is now in the folder.
        files=file_entries(scratch),
    )
    write_manifest(scratch, manifest)
    return manifest


def write_spec(
    spec: ModelSpec, entries: Sequence[EngineEntry], scratch: Path, folder: Path
) -> ModelSpec:
    """Write a spec into ``scratch``; return the spec of the manifest.

    In both, the model's path is relative to ``folder``. If one plan serves any width, the spec of
    the manifest has all widths of ``entries``. The file has only those that were converted, so
    that a build from it converts the same ones, and finds this bundle in the cache.
    """
    own = spec_beside(spec, folder)
    (scratch / SPEC_FILE).write_text(dump_spec(own), "utf-8")
    return spec_of_entries(own, entries)


def copy_bundle(bundle: Bundle, spec: ModelSpec, scratch: Path, folder: Path) -> Bundle:
    """Copy a bundle into ``scratch``, and return it as it will be in ``folder``.

    The spec is written again, because its path to the model depends on the folder.

    Args:
        bundle: the bundle to copy.
        spec: in place of the bundle's own, as it was when the bundle was built.
        scratch: an existing folder, which will be renamed to ``folder``.
        folder: the place of the copy.

    Raises:
        OSError: a file cannot be read or written.
    """
    copy_files(bundle, scratch)
    # Its largest batch may be smaller than requested (``Manifest.batch_limit``).
    own = with_max_batch(spec, bundle.spec.input.max_batch)
    own = write_spec(own, bundle.manifest.engines, scratch, folder)
    files = {**bundle.manifest.files, SPEC_FILE: file_entry(scratch / SPEC_FILE)}
    manifest = bundle.manifest.model_copy(update={"spec": own, "files": files})
    write_manifest(scratch, manifest)
    return Bundle(folder=folder, manifest=manifest)


def _choice(choice: PrecisionChoice) -> ChosenPrecision | None:
    if not choice.trials:  # nothing was searched
        return None
    chosen = choice.chosen
    return ChosenPrecision(precision=chosen.precision, label=chosen.label, reason=choice.reason)


def _calibration(calibrator: Calibrator, chosen: Candidate) -> Calibration | None:
    if chosen.quantization is None:  # a search chose fp32
        return None
    return Calibration(
        # 16-bit graphs use the largest values seen, whatever the method for int8 is.
        method=chosen.quantization.method if chosen.precision == "int8" else "minmax",
        corrections=chosen.quantization.corrections,
        images=len(calibrator.images) - len(calibrator.skipped),
        skipped=tuple(calibrator.skipped),
        data_sha256=tree_sha256(calibrator.images.dataset.folder),
        own_ranges=len(calibrator.own_ranges.keys() & chosen.quantized.ranges.keys()),
        ranges=chosen.quantized.ranges,
    )
