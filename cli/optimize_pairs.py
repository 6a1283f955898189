"""``ocr-trt optimize DETECTOR RECOGNIZER``: the options, and the result as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ..errors import SpecError, UserError
from .choices import RequestedTarget
from .model_options import load_spec_file
from .printing import note_left_out, print_box, print_json, print_table
from .shared_options import DisplayOptions

if TYPE_CHECKING:
    from ..builder.pairs import PairsReport
    from ..spec import DetectorSpec, RecognizerSpec

_BOTH = "end-to-end"
"""The name of the default budget."""


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """How a detector and a recognizer are optimized together."""

    PANEL: ClassVar[str] = "Specs of a detector and a recognizer"

    budget: Annotated[
        str,
        typer.Option(
            metavar="POINTS",
            help="Points of end-to-end hmean that both engines together may lose. Default: "
            "end-to-end, the sum of both specs' accuracy.max_loss.",
        ),
    ] = _BOTH
    calibration: Annotated[
        Path | None,
        typer.Option(help="Folder of images for calibration. Default: the images of --data."),
    ] = None
    target: Annotated[
        RequestedTarget | None,
        typer.Option(help="Runtime to build for. Default: auto, the fastest one for each engine."),
    ] = None
    compress: Annotated[
        bool,
        typer.Option(
            "--compress",
            help="Also try smaller networks of both models, which build --compress produces. The "
            "search takes minutes for each of them.",
        ),
    ] = False
    accept_unsure: Annotated[
        bool,
        typer.Option(
            "--accept-unsure",
            help="Also accept pairs whose estimated loss is within the budget, but of which the "
            "images cannot show that.",
        ),
    ] = False
    duration: Annotated[
        float, typer.Option(min=0.01, max=3600, help="Seconds to time each pair.")
    ] = 3.0
    output: Annotated[Path, typer.Option(help="Folder for both bundles and the report.")] = Path(
        "pair"
    )
    no_cache: Annotated[
        bool,
        typer.Option(
            "--no-cache", help="Build all engines again, even if they are in the build cache."
        ),
    ] = False


def optimize_pairs(
    paths: Sequence[Path],
    data: Path,
    options: PairOptions,
    widths: tuple[int, int],
    display: DisplayOptions,
) -> None:
    """Find and write the fastest pair of engines. ``widths``: the largest number, and the step."""
    budget = _points(options.budget)
    detector, recognizer = _both_roles(paths)
    from ..builder.learned_widths import WidthSettings
    from ..builder.pairs import PairRequest, default_budget, optimize_pair
    from ..engines.build_cache import default_cache
    from ..ocr.dataset import load_dataset

    reporter = display.reporter()
    samples = load_dataset(data)
    note_left_out(samples, reporter)
    request = PairRequest(
        detector=detector,
        recognizer=recognizer,
        samples=samples,
        output=options.output,
        budget=default_budget(detector, recognizer) if budget is None else budget,
        calibration=options.calibration,
        targets=((options.target or RequestedTarget.AUTO).value,),
        accepts_unsure=options.accept_unsure,
        compress=options.compress,
        widths=WidthSettings(max_widths=widths[0], step=widths[1]),
        duration_s=options.duration,
        cache=None if options.no_cache else default_cache(),
    )
    report = optimize_pair(request, reporter)
    if display.json:
        print_json(report.model_dump(mode="json"))
    else:
        _print(report, options.output)


def _points(text: str) -> float | None:
    """Parse a budget; None for the default one.

    Raises:
        UserError: it is neither a number from 0 to 100 nor the name of the default.
    """
    if text == _BOTH:
        return None
    try:
        points = float(text)
    except ValueError:
        points = -1.0
    if not 0 <= points <= 100:
        raise UserError(
            f"--budget {text}: expected {_BOTH}, or points of end-to-end hmean from 0 to 100"
        )
    return points


def _both_roles(paths: Sequence[Path]) -> tuple[DetectorSpec, RecognizerSpec]:
    """Load the specs of a detector and of a recognizer, in any order.

    Raises:
        SpecError: the specs are not one of each.
    """
    from ..spec import DetectorSpec, RecognizerSpec

    specs = [load_spec_file(path) for path in paths]
    detectors = [spec for spec in specs if isinstance(spec, DetectorSpec)]
    recognizers = [spec for spec in specs if isinstance(spec, RecognizerSpec)]
    if len(specs) != 2 or len(detectors) != 1 or len(recognizers) != 1:
        roles = ", ".join(
            f"{path} is a {spec.role}" for path, spec in zip(paths, specs, strict=True)
        )
        raise SpecError(
            f"expected the spec of one detector and of one recognizer, but {roles}; give one spec "
            "of each"
        )
    return detectors[0], recognizers[0]


def _print(report: PairsReport, output: Path) -> None:
    from ..builder.pairs.pairs_page import pair_table, variant_tables
    from ..builder.pairs.pairs_texts import lead, texts

    for table in (*variant_tables(report), pair_table(report)):
        print_table(table.title, table.header, table.rows)
    print_box("Chosen pair", [lead(report), *texts(report)], [report.command])
    for name in (*report.bundles, "pairs.json", "pairs.html"):
        print(output / name)
