"""``ocr-trt bench``: bundles compared with the models they were built from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from .fail_on import LimitOptions, Limits, fail_if_broken, limits_from
from .model_options import check_exists
from .printing import note_left_out, print_box, print_json, print_table
from .shared_options import DataFolder, DisplayOptions, Trust, TrustSource

if TYPE_CHECKING:
    from ..bench.regression import RuleCheck
    from ..bench.results import Report
    from ..measure.load import LoadSettings


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """Which loads to measure; --concurrency and --rate imply --load."""

    PANEL: ClassVar[str] = "Load"

    load: Annotated[
        bool,
        typer.Option(
            "--load",
            help="Measure under load: throughput by number of clients, and latency by request "
            "rate, from the time at which each request is due.",
        ),
    ] = False
    concurrency: Annotated[
        list[int] | None,
        typer.Option(
            min=1, max=4096, help="Number of clients at once; repeatable. Default: 1, 2, 4, ..."
        ),
    ] = None
    rate: Annotated[
        list[float] | None,
        typer.Option(
            min=0.01,
            max=10_000,
            help="Requests per second; repeatable. Default: 50, 80 and 95 % of the best rate.",
        ),
    ] = None

    def settings(self) -> LoadSettings | None:
        """Return the loads to measure; None if no load was requested."""
        from ..common.cores import usable_cores
        from ..measure.load import LoadSettings, usual_clients

        if not (self.load or self.concurrency or self.rate):
            return None
        # Without --rate, the rates depend on the closed-loop results of each system.
        clients = self.concurrency or usual_clients(usable_cores())
        return LoadSettings(
            clients=tuple(sorted(set(clients))), rates=tuple(sorted(set(self.rate or ())))
        )


def bench(
    bundles: Annotated[list[Path], typer.Argument(help="Engine bundles.")],
    *,
    data: DataFolder = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for report.json, report.md and report.html.")
    ] = None,
    duration: Annotated[
        float, typer.Option(min=0.01, max=3600, help="Seconds to time each system.")
    ] = 3.0,
    competitors: Annotated[
        bool,
        typer.Option(
            "--competitors",
            help="Also time other ways to run the unchanged model: TensorFlow eager, TensorFlow "
            "XLA, and OpenVINO with its own converter and defaults.",
        ),
    ] = False,
    roofline: Annotated[
        bool,
        typer.Option(
            "--roofline",
            help="Also time every layer, measure the peak rates of this machine, and report what "
            "limits the speed.",
        ),
    ] = False,
    trust: Trust = False,
    trust_source: TrustSource = False,
    limit: LimitOptions,
    load: LoadOptions,
    display: DisplayOptions,
) -> None:
    """Time engines, TensorFlow and onnxruntime in one interleaved run, and measure accuracy.

    To compare results of different days or machines, use `speedup`, which is relative to TensorFlow
    in the same run, not `latency`. The report defines every figure, and so does the output with -v.

    Example: `ocr-trt bench bundles/* --data labeled --report report`
    """
    limits = limits_from(limit, has_data=data is not None)
    for path in (*bundles, *((data,) if data else ())):
        check_exists(path)
    from ..bench.compare_bundles import Extras, compare
    from ..bench.definitions import definitions_of
    from ..bench.deployment import deployment
    from ..bench.regression import check_rules
    from ..bench.report import FILES, write_report
    from ..common.files import check_destination
    from ..engines.bundle import load_bundle
    from ..measure.latency import LatencySettings
    from ..ocr.dataset import load_dataset

    if report:  # checked before the comparison, which takes long
        check_destination(report, own=lambda _: FILES)
    loaded = [
        load_bundle(folder, is_trusted=trust, is_source_trusted=trust_source) for folder in bundles
    ]
    dataset = load_dataset(data) if data else None
    note_left_out(dataset, display.reporter())
    limits.check_bundles(loaded, is_labeled=dataset is not None and dataset.labeled)
    extras = Extras(competitors=competitors, load=load.settings(), rooflines=roofline)
    settings = LatencySettings(duration_s=duration)
    result = compare(loaded, dataset, settings, display.reporter(), extras)
    files = write_report(result, report, loaded) if report else []
    if not display.json:  # before the rules are checked, which may raise an error
        print_report(result)
        if display.verbose:
            print("\n".join(f"- {line}" for line in definitions_of(result)))
        for file in files:
            print(file)
    checks = check_rules(result, limits.old, limits.rules)
    if display.json:
        print_json(_as_dict(result, limits, checks))
    else:
        limits.show(result, checks)
        # Last, so that it is what a user sees.
        if (box := deployment(result)) is not None:
            print_box(box.title, box.lines, box.commands)
    fail_if_broken(checks)


def _as_dict(result: Report, limits: Limits, checks: tuple[RuleCheck, ...]) -> dict[str, Any]:
    from ..bench.report import without_images

    return {
        **without_images(result),
        "checks": [asdict(check) for check in checks],
        "baseline_of_another_machine": limits.is_of_another_machine(result),
    }


def print_report(report: Report) -> None:
    """Print speed and accuracy of every model, and a summary of every engine."""
    from ..bench.report import overview
    from ..bench.roofline_diagnosis import reasons
    from ..bench.summary import summaries

    for model in report.parts:
        for section in overview(model):
            for table in section.tables:
                # Titles are capitalized in reports; here they follow a name and a colon.
                title = f"{table.title[0].lower()}{table.title[1:]}"
                print_table(f"{model.name}: {title}", table.header, table.rows)
        for row in model.systems:
            if row.note:
                print(f"{row.label}: {row.note}")
    # Summaries are about accuracy, which is measured only on --data.
    for each in summaries(report) if report.data else ():
        print(f"{each.label}: {each.verdict} {each.figures} {each.confidence}".rstrip())
    for line in reasons(report.models):
        print(line)
    for note in report.notes:
        print(f"note: {note}")
