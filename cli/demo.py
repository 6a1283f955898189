"""``ocr-trt demo``: the whole way, on the models and images that come with the package."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from .console import ConsoleReporter, print_json, quiet_libraries
from .options import Json, Verbose

_SHOWN = (3, 4, 6, 11)
"""Sample images that are read at the end."""


def demo(
    output: Annotated[Path, typer.Option(help="Folder for everything.")] = Path("demo-output"),
    duration: Annotated[
        float, typer.Option(min=0.01, max=3600, help="Seconds to time each system in bench.")
    ] = 3.0,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Inspect, build, bench and run the reference models on the sample images.

    Example: `ocr-trt demo --output demo-output`
    """
    quiet_libraries(verbose=verbose)
    with redirect_stdout(sys.stderr if json else sys.stdout):
        made = _demo(output, duration)
    if json:
        print_json({name: str(path) for name, path in made.items()})
    else:
        print(f"Look at {made['report']} and at the images in {made['overlays']}")


def _demo(output: Path, duration: float) -> dict[str, Path]:
    """Run the other commands, and return what they made."""
    from ..engines.targets import backend
    from ..models.reference_models import SAMPLES, Role, export_reference
    from .bench import bench
    from .build import build
    from .inspect import inspect
    from .run import run

    roles: tuple[Role, ...] = ("detector", "recognizer")
    with ConsoleReporter().step("export the reference models as SavedModels"):
        specs = [export_reference(role, output / "models") for role in roles]
    for spec in specs:
        _say(f"ocr-trt inspect {spec}")
        inspect(spec)
    targets = ["openvino"]
    if backend("tensorrt-rtx").availability().can_build:
        targets.append("tensorrt-rtx")
    bundles = output / "bundles"
    test, calibration = SAMPLES / "test", SAMPLES / "calibration"
    _say(
        f"ocr-trt build {' '.join(map(str, specs))} {' '.join(f'--target {t}' for t in targets)} "
        f"--precision int8 --calibration {calibration} --data {test} --output {bundles} --no-cache"
    )
    build(specs, target=targets, calibration=calibration, data=test, output=bundles, no_cache=True)
    folders = sorted(path for path in bundles.iterdir() if path.is_dir())
    _say(f"ocr-trt bench {bundles}/* --data {test} --report {output / 'report'}")
    bench(folders, data=test, report=output / "report", duration=duration)
    shown = [test / f"test_{number:02d}.jpg" for number in _SHOWN]
    finder, reader = (bundles / f"reference-{role}-openvino-int8" for role in roles)
    overlays = output / "overlays"
    names = " ".join(map(str, shown))
    _say(f"ocr-trt run {names} --detector {finder} --recognizer {reader} --draw {overlays}")
    run(shown, detector=finder, recognizer=reader, draw=overlays)
    _say("done")
    page = output / "report" / "report.html"
    return {"bundles": bundles, "report": page, "overlays": overlays}


def _say(command: str) -> None:
    print(f"\n$ {command}", flush=True)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)
