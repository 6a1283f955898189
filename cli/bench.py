"""``ocr-trt bench``: bundles against the models they came from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import ConsoleReporter, print_json, print_table, quiet_libraries
from .gate import fail_if_broken, gate_from
from .options import DataFolder, Json, Trust, Verbose

if TYPE_CHECKING:
    from ..bench.results import Report
    from ..measure.load import LoadSettings


def bench(
    bundles: Annotated[list[Path], typer.Argument(help="Engine bundles.")],
    data: DataFolder = None,
    report: Annotated[Path | None, typer.Option(help="Folder for report.{json,md,html}.")] = None,
    duration: Annotated[
        float, typer.Option(min=0.01, max=3600, help="Seconds to time each system.")
    ] = 3.0,
    baseline: Annotated[
        Path | None, typer.Option(help="An older report.json, for --fail-on to compare with.")
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            help="End with exit code 5 if: speedup<0.9x,cer>+0.2,hmean<88. x is a multiple of the "
            "older value, + and - a distance from it. Times without x are those of batch 1; "
            "throughput@16<200 names another."
        ),
    ] = None,
    competitors: Annotated[
        bool,
        typer.Option(
            "--competitors",
            help="Time other ways to run the model as it is, too: TensorFlow eager and XLA, and "
            "OpenVINO with its own converter and defaults.",
        ),
    ] = False,
    load: Annotated[
        bool,
        typer.Option(
            "--load",
            help="Put the engines and the model under load: throughput by clients, and latency by "
            "rate of requests, counted from when each was due.",
        ),
    ] = False,
    concurrency: Annotated[
        list[int] | None,
        typer.Option(
            min=1, max=4096, help="Clients at once, for --load; 1, 2, 4 ... by default. Repeatable."
        ),
    ] = None,
    rate: Annotated[
        list[float] | None,
        typer.Option(
            min=0.01,
            max=10_000,
            help="Requests per second, for --load; by default 50, 80 and 95 % of the best "
            "throughput. Repeatable.",
        ),
    ] = None,
    roofline: Annotated[
        bool,
        typer.Option(
            "--roofline",
            help="Also time every layer and this machine's peaks, and say why it is not faster.",
        ),
    ] = False,
    trust: Trust = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Time engines, TensorFlow and onnxruntime in turns, and measure their accuracy.

    Times of another day or machine are not these: `speedup`, which is against TensorFlow in the
    same run, says more than `latency`.

    What every figure means is printed with -v, and in the report.

    Example: `ocr-trt bench bundles/* --data labeled --report report`
    """
    quiet_libraries(verbose=verbose)
    from ..bench.compare import Extras, compare
    from ..bench.report import FILES, without_images, write_report
    from ..common.files import check_destination
    from ..engines.bundle import load_bundle
    from ..measure.latency import LatencySettings
    from ..ocr.dataset import load_dataset

    gate = gate_from(fail_on, baseline, has_data=data is not None)
    if report:
        check_destination(report, own=FILES)
    loaded = [load_bundle(folder, is_trusted=trust) for folder in bundles]
    dataset = load_dataset(data) if data else None
    gate.check_bundles(loaded, is_labeled=dataset is not None and dataset.labeled)
    reporter = ConsoleReporter(silent=json)
    extras = Extras(
        competitors=competitors,
        load=_load_settings(concurrency, rate, is_expected=load),
        rooflines=roofline,
    )
    settings = LatencySettings(duration_s=duration)
    found = compare(loaded, dataset, settings, reporter, extras)
    files = write_report(found, report) if report else []
    if not json:  # before anything can be wrong with the rules
        print_report(found)
        if verbose:
            _print_definitions(found)
        for file in files:
            print(file)
    checks = gate.check(found)
    if json:
        told = without_images(found)
        told["checks"] = [asdict(check) for check in checks]
        told["baseline_of_another_machine"] = gate.is_of_another_machine(found)
        print_json(told)
    else:
        gate.show(found, checks)
    fail_if_broken(checks)


def _load_settings(
    concurrency: list[int] | None, rate: list[float] | None, *, is_expected: bool
) -> LoadSettings | None:
    """What load to measure: --concurrency and --rate mean --load, too."""
    from ..common.cores import usable_cores
    from ..measure.load import LoadSettings, usual_clients

    if not (is_expected or concurrency or rate):
        return None
    clients = concurrency or usual_clients(usable_cores())
    return LoadSettings(clients=tuple(sorted(set(clients))), rates=tuple(sorted(set(rate or ()))))


def _print_definitions(found: Report) -> None:
    from ..bench.definitions import definitions_of

    for line in definitions_of(found):
        print(f"- {line}")


def print_report(found: Report) -> None:
    """Print speed and accuracy of every model, and a summary of every engine."""
    from ..bench.report import overview
    from ..bench.roofline_diagnosis import reasons
    from ..bench.summary import summaries

    for model in found.parts:
        for table in (table for section in overview(model) for table in section.tables):
            title = f"{table.title[0].lower()}{table.title[1:]}"
            print_table(f"{model.name}: {title}", table.header, table.rows)
        for row in model.systems:
            if row.note:
                print(f"{row.label}: {row.note}")
    for each in summaries(found) if found.data else ():
        print(f"{each.label}: {each.verdict} {each.figures} {each.sureness}".rstrip())
    for line in reasons(found.models):
        print(line)
    for note in found.notes:
        print(f"note: {note}")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)
