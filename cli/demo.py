"""``ocr-trt demo``: all steps, with the models and images that come with the package."""

from __future__ import annotations

import shlex
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .models import REFERENCE, write_model
from .printing import print_json
from .shared_options import DisplayOptions

_READ_SAMPLES = ("test_03.jpg", "test_04.jpg", "test_06.jpg", "test_11.jpg")
_READ_PAGES = ("page_01.jpg", "page_08.jpg")
"""Sample images that are read at the end."""
_ALIASES = {"ppocr": "ppocr-v6-small"}


def demo(
    context: typer.Context,
    *,
    output: Annotated[
        Path, typer.Option(help="Folder for models, bundles, report and images.")
    ] = Path("demo-output"),
    models: Annotated[
        str, typer.Option(help="A name that `ocr-trt models` lists; ppocr: ppocr-v6-small.")
    ] = REFERENCE,
    duration: Annotated[
        float, typer.Option(min=0.01, max=3600, help="Seconds to time each system.")
    ] = 3.0,
    display: DisplayOptions,
) -> None:
    """Inspect, build, bench and run the reference models, or others, on sample images.

    The reference models read synthetic scenes. Others read photographed pages of text.

    Example: `ocr-trt demo --output demo-output`
    """
    # The commands print on stdout, which must hold nothing but the result if it is JSON.
    with redirect_stdout(sys.stderr if display.json else sys.stdout):
        name = _ALIASES.get(models, models)
        paths = _demo(context, name, output, duration, display)
    if display.json:
        print_json({name: str(path) for name, path in paths.items()})
    else:
        print(f"Open {paths['report']} and the images in {paths['overlays']}")


def _demo(
    context: typer.Context, models: str, output: Path, duration: float, display: DisplayOptions
) -> dict[str, Path]:
    """Run the other commands, and return the paths of their results."""
    from ..spec import load_spec

    def run(*command: object) -> None:
        flags = [name for name, given in (("-q", display.quiet), ("-v", display.verbose)) if given]
        arguments = [*map(str, command), *flags]
        print(f"\n$ ocr-trt {shlex.join(arguments)}", flush=True)
        # Through the context: importing the program would be circular, as it imports this module.
        code = context.find_root().command.main(arguments, "ocr-trt", standalone_mode=False)
        if code:
            raise typer.Exit(code)

    reporter = display.reporter()
    by_role = write_model(models, output / "models", reporter, replaces=True)
    specs = [*by_role.values()]
    material = _material(models)
    bundles, report, overlays = output / "bundles", output / "report", output / "overlays"
    for spec in specs:
        run("inspect", spec)
    # --no-cache: otherwise a second demo would print the speed that the first one measured.
    run(
        *("build", *specs, *_targets(models), *material.build_options, "--data", material.data),
        *("--output", bundles, "--no-cache", "--duration", duration),
    )
    folders = sorted(path for path in bundles.iterdir() if path.is_dir())
    run("bench", *folders, "--data", material.data, "--report", report, "--duration", duration)
    shown = [material.data / name for name in material.shown]
    used = [
        word
        for role, spec in by_role.items()
        for word in (
            f"--{role}", bundles / f"{load_spec(spec).name}-openvino-{material.precision}"
        )
    ]  # fmt: skip
    run("run", *shown, *used, "--draw", overlays)
    print()
    return {"bundles": bundles, "report": report / "report.html", "overlays": overlays}


@dataclass(frozen=True, kw_only=True)
class _Material:
    """The images of a demo, and the precision of its engines."""

    data: Path
    shown: tuple[str, ...]
    """Images of ``data`` that are read at the end."""
    precision: str

    @property
    def build_options(self) -> tuple[object, ...]:
        """Options of ``build``: only int8 engines need calibration."""
        from ..models.reference_models import SAMPLES

        calibration = ("--calibration", SAMPLES / "calibration")
        return "--precision", self.precision, *(calibration if self.precision == "int8" else ())


def _material(models: str) -> _Material:
    from ..models.catalog import wheel_models
    from ..models.reference_models import SAMPLES

    if models == REFERENCE:
        return _Material(data=SAMPLES / "test", shown=_READ_SAMPLES, precision="int8")
    precision = wheel_models()[models].precision
    return _Material(data=SAMPLES / "pages", shown=_READ_PAGES, precision=precision)


def _targets(models: str) -> list[str]:
    """Return the options for the targets: all that the reference models can be built for here."""
    from ..engines.targets import backend

    names = ["openvino"]
    if models == REFERENCE and backend("tensorrt-rtx").availability().can_build:
        names.append("tensorrt-rtx")
    return [word for name in names for word in ("--target", name)]
