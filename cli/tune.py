"""``ocr-trt tune``: measure how engines run fastest on this machine, and remember it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import ConsoleReporter, print_json, print_table, quiet_libraries
from .options import Json, Trust, Verbose

if TYPE_CHECKING:
    from ..engines.tuned import Tuning
    from ..measure.stream_trials import StreamTrial


def tune(
    bundles: Annotated[list[Path], typer.Argument(help="Folders of bundles.")],
    trust: Trust = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Measure with how many threads, and how many batches at once, each engine runs fastest here.

    The choice is kept in $XDG_CACHE_HOME/ocr-trt/tuning (~/.cache) for this processor and this
    number of cores; `run` and `Engine.from_bundle` take it from there. Numbers do not depend on it.
    Measure on the machine that will serve, while nothing else runs.

    Example: `ocr-trt tune bundles/*`
    """
    quiet_libraries(verbose=verbose)
    from ..engines.bundle import load_bundle
    from ..engines.tuned import Mode, check_tunable, keep_tuning
    from ..measure.stream_trials import TURNS, trials, tuning_from

    loaded = [load_bundle(folder, is_trusted=trust) for folder in bundles]
    for bundle in loaded:  # before anything is measured
        check_tunable(bundle)
    modes: tuple[Mode, ...] = ("latency", "throughput")
    told = {}
    for bundle in loaded:
        found: list[StreamTrial] = []
        for mode in modes:
            title = f"try {bundle.label} for {mode}"
            with ConsoleReporter(silent=json).step(title, TURNS) as advance:
                found += trials(bundle, mode, advance)
        tuning = tuning_from(found)
        path = keep_tuning(bundle, tuning)
        told[str(bundle.folder)] = {
            "trials": [{**asdict(each), "choice": each.choice.model_dump()} for each in found],
            "tuning": tuning.model_dump(),
            "kept": str(path),
        }
        if not json:
            _show(bundle.label, found, tuning)
    if json:
        print_json(told)


def _show(label: str, found: list[StreamTrial], tuning: Tuning) -> None:
    header = ("mode", "batches at once", "threads", "batch", "ms", "images/s", "")
    chosen = {"latency": tuning.latency, "throughput": tuning.throughput}
    rows = [
        (
            *(trial.mode, str(trial.choice.streams), str(trial.choice.threads or "-")),
            *(str(trial.batch), f"{trial.milliseconds:.2f}", f"{trial.images_per_second:.1f}"),
            "chosen" if trial.choice == chosen[trial.mode] else "",
        )
        for trial in found
    ]
    print_table(label, header, rows)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(tune)
