"""``ocr-trt inspect --calibration``: the ranges of a model's tensors on images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .calibration_options import CalibrationOptions, load_calibration_images, method_or_default
from .choices import RequestedPrecision
from .printing import plain, print_json, print_table
from .shared_options import DisplayOptions

if TYPE_CHECKING:
    from ..calibration.calibrator import Calibrator, QuantizedGraphs
    from ..calibration.coverage import CoverageFinding
    from ..calibration.images import CalibrationSet
    from ..calibration.ranges import Ranges
    from ..common.progress import Reporter
    from ..spec import ModelSpec


def inspect_ranges(
    spec: ModelSpec,
    precision: RequestedPrecision,
    options: CalibrationOptions,
    display: DisplayOptions,
    *,
    output: Path | None,
    is_trusted: bool,
) -> None:
    """Print the ranges, the ops that keep a float precision, and tensors that images do not cover.

    ``output``: the file to write the ranges to, for ``ocr-trt build --ranges``.

    Raises:
        UserError: the precision is fp32 or best, or the method is auto.
        InputFileError: an image cannot be read.
    """
    from ..builder.calibrate import ranges_of
    from ..calibration.calibrator import QuantizationSettings
    from ..calibration.coverage import coverage
    from ..calibration.methods import METHODS
    from ..calibration.ranges import is_ranges, save_ranges
    from ..common.files import check_file_destination

    method = method_or_default(options.method, is_search=False)
    if precision.value in ("fp32", "best") or method == "auto":
        raise UserError(
            "--calibration needs --precision int8, fp16 or bf16 and one --method, because their "
            f"ranges differ; got --precision {precision.value} --method {method}"
        )
    if output is not None:
        check_file_destination(output, is_ranges)
    reporter = display.reporter()
    images = load_calibration_images(options, spec, reporter, is_trusted=is_trusted)
    calibrator = _calibrator(spec, images, reporter)
    ranges = ranges_of(calibrator, method)
    quantized = calibrator.quantized(
        QuantizationSettings(precision=precision.value, method=method)  # type: ignore[arg-type]
    )
    findings = coverage(calibrator.observation(), ranges.ranges, METHODS[method])
    if output is not None:
        save_ranges(ranges, output)
    if display.json:
        print_json({**ranges.model_dump(), "findings": [asdict(finding) for finding in findings]})
    else:
        is_int8 = precision is RequestedPrecision.INT8
        _print_ranges(spec.name, ranges, findings, is_int8=is_int8)
        _print_exceptions(quantized)
        for finding in findings if is_int8 else ():
            print(plain(f"note: {finding.tensor} {finding.text}"))


def _calibrator(spec: ModelSpec, images: CalibrationSet, reporter: Reporter) -> Calibrator:
    from ..builder.convert import convert_sizes
    from ..calibration.calibrator import Calibrator
    from ..convert.sources import open_source

    converted = convert_sizes(open_source(spec.source), spec, reporter)
    return Calibrator(converted.graphs, images, reporter)


def _print_ranges(
    name: str, ranges: Ranges, findings: tuple[CoverageFinding, ...], *, is_int8: bool
) -> None:
    marks: dict[str, list[str]] = {}
    for finding in findings:
        marks.setdefault(finding.tensor, []).append(finding.kind)
    # 16-bit floats have no ranges; their column shows the largest values instead.
    shown = ranges.ranges if is_int8 else ranges.peaks
    rows = [
        (tensor, f"{limit:.4g}", f"{ranges.peaks[tensor]:.4g}", ", ".join(marks.get(tensor, ())))
        for tensor, limit in shown.items()
    ]
    header = ("tensor", "range", "largest seen", "finding")
    print_table(f"{name}: ranges on {ranges.images} images", header, rows)


def _print_exceptions(quantized: QuantizedGraphs) -> None:
    for node, reason in quantized.exceptions.items():
        print(plain(f"{node} stays in float: {reason}"))
