"""``ocr-trt demo``: all steps, with the models and images that come with the package."""

from __future__ import annotations

import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from .printing import print_json
from .shared_options import DisplayOptions

_READ_SAMPLES = (3, 4, 6, 11)
"""Numbers of the sample images that are read at the end."""


def demo(
    context: typer.Context,
    *,
    output: Annotated[
        Path, typer.Option(help="Folder for models, bundles, report and images.")
    ] = Path("demo-output"),
    duration: Annotated[
        float, typer.Option(min=0.01, max=3600, help="Seconds to time each system.")
    ] = 3.0,
    display: DisplayOptions,
) -> None:
    """Inspect, build, bench and run the reference models on the sample images.

    Example: `ocr-trt demo --output demo-output`
    """
    # The commands print on stdout, which must hold nothing but the result if it is JSON.
    with redirect_stdout(sys.stderr if display.json else sys.stdout):
        paths = _demo(context, output, duration, display)
    if display.json:
        print_json({name: str(path) for name, path in paths.items()})
    else:
        print(f"Open {paths['report']} and the images in {paths['overlays']}")


def _demo(
    context: typer.Context, output: Path, duration: float, display: DisplayOptions
) -> dict[str, Path]:
    """Run the other commands, and return the paths of their results."""
    from ..models.reference_models import SAMPLES

    def run(*command: object) -> None:
        flags = [name for name, given in (("-q", display.quiet), ("-v", display.verbose)) if given]
        arguments = [*map(str, command), *flags]
        print(f"\n$ ocr-trt {shlex.join(arguments)}", flush=True)
        # Through the context: importing the program would be circular, as it imports this module.
        code = context.find_root().command.main(arguments, "ocr-trt", standalone_mode=False)
        if code:
            raise typer.Exit(code)

    specs = _export(output / "models", display)
    bundles, report, overlays = output / "bundles", output / "report", output / "overlays"
    test, calibration = SAMPLES / "test", SAMPLES / "calibration"
    for spec in specs:
        run("inspect", spec)
    # --no-cache: otherwise a second demo would print the speed that the first one measured.
    run(
        *("build", *specs, *_targets(), "--precision", "int8", "--calibration", calibration),
        *("--data", test, "--output", bundles, "--no-cache", "--duration", duration),
    )
    folders = sorted(path for path in bundles.iterdir() if path.is_dir())
    run("bench", *folders, "--data", test, "--report", report, "--duration", duration)
    shown = [test / f"test_{number:02d}.jpg" for number in _READ_SAMPLES]
    detector, recognizer = (
        bundles / f"reference-{role}-openvino-int8" for role in ("detector", "recognizer")
    )
    run("run", *shown, "--detector", detector, "--recognizer", recognizer, "--draw", overlays)
    print()
    return {"bundles": bundles, "report": report / "report.html", "overlays": overlays}


def _export(folder: Path, display: DisplayOptions) -> list[Path]:
    """Write the reference models as SavedModels, and return their specs."""
    from ..convert.sources.tf_graph import import_tensorflow
    from ..models.reference_models import Role, export_reference

    roles: tuple[Role, ...] = ("detector", "recognizer")
    with display.reporter().step("export the reference models as SavedModels"):
        import_tensorflow()  # before Keras does: TensorFlow would print its start-up messages
        return [export_reference(role, folder) for role in roles]


def _targets() -> list[str]:
    from ..engines.targets import backend

    names = ["openvino"]
    if backend("tensorrt-rtx").availability().can_build:
        names.append("tensorrt-rtx")
    return [word for name in names for word in ("--target", name)]
