"""``ocr-trt calibrate``: the ranges of a model's tensors on real images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..common.files import check_file_destination
from ..errors import UserError
from .console import ConsoleReporter, print_json, print_table, quiet_libraries
from .options import DetectorBundle, Json, Method, PrecisionName, SkipBad, Trust, Verbose
from .specs import calibration_from, method_from, precision_from, spec_paths

if TYPE_CHECKING:
    from ..calibration.calibrator import QuantizedGraphs
    from ..calibration.coverage import Finding
    from ..calibration.ranges import Ranges


def calibrate(
    spec: Annotated[Path, typer.Argument(help="Spec of the model.")],
    calibration: Annotated[Path, typer.Option("--calibration", help="Folder of images.")],
    output: Annotated[
        Path | None, typer.Option(help="File for the ranges, JSON; build --ranges takes it.")
    ] = None,
    precision: PrecisionName = "int8",
    method: Method = None,
    detector: DetectorBundle = None,
    skip_bad: SkipBad = False,
    trust: Trust = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Take the range of every tensor that int8 or 16 bits need, without building anything.

    Says which tensors the images do not cover: dead, clipped, or still moving.

    Example: `ocr-trt calibrate detector.yaml --calibration images --output ranges.json`
    """
    quiet_libraries(verbose=verbose)
    from ..builder.calibrate import ranges_of
    from ..builder.convert import convert_widths
    from ..calibration.calibrator import Calibrator, QuantizationSettings
    from ..calibration.coverage import coverage
    from ..calibration.methods import METHODS
    from ..calibration.ranges import save_ranges
    from ..convert.sources import open_source
    from ..spec import load_spec

    spec_paths([spec])
    if output is not None:
        check_file_destination(output)
    expected, chosen = precision_from(precision), method_from(method)
    if expected in ("fp32", "best") or chosen == "auto":
        raise UserError("give --precision int8, fp16 or bf16 and one --method: their ranges differ")
    model, reporter = load_spec(spec), ConsoleReporter(silent=json)
    images = calibration_from(
        calibration, model, detector, reporter, skip_bad=skip_bad, is_trusted=trust
    )
    converted = convert_widths(open_source(model.source), model, reporter)
    calibrator = Calibrator(converted.graphs, images, reporter)
    found = ranges_of(calibrator, chosen)
    quantized = calibrator.quantized(QuantizationSettings(precision=expected, method=chosen))  # type: ignore[arg-type]
    findings = coverage(calibrator.seen(), found.ranges, METHODS[chosen])
    if output is not None:
        save_ranges(found, output)
    if json:
        print_json({**found.model_dump(), "findings": [asdict(finding) for finding in findings]})
    else:
        _print(model.name, found, quantized, findings, is_int8=expected == "int8")


def _print(
    name: str,
    found: Ranges,
    quantized: QuantizedGraphs,
    findings: tuple[Finding, ...],
    *,
    is_int8: bool,
) -> None:
    marks: dict[str, list[str]] = {}
    for finding in findings:
        marks.setdefault(finding.tensor, []).append(finding.kind)
    shown = found.ranges if is_int8 else found.peaks
    rows = [
        (tensor, f"{limit:.4g}", f"{found.peaks[tensor]:.4g}", ", ".join(marks.get(tensor, ())))
        for tensor, limit in shown.items()
    ]
    header = ("tensor", "range", "largest seen", "")
    print_table(f"{name}: ranges on {found.images} images", header, rows)
    for node, reason in quantized.exceptions.items():
        print(f"{node} stays in float: {reason}")
    for finding in findings if is_int8 else ():
        print(f"note: {finding.tensor} {finding.text}")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)
