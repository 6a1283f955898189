"""``ocr-trt buckets``: which input widths to build a recognizer for."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..common.files import check_file_destination, write_whole
from ..errors import UserError
from .console import ConsoleReporter, print_json, print_table, quiet_libraries
from .options import DetectorBundle, Json, Trust, Verbose
from .specs import calibration_from, spec_paths

if TYPE_CHECKING:
    from ..builder.learned_widths import BucketChoice, Buckets


def buckets(
    spec: Annotated[Path, typer.Argument(help="Spec of a recognizer.")],
    data: Annotated[Path, typer.Option(help="Folder of lines, or of images with labeled ones.")],
    detector: DetectorBundle = None,
    most: Annotated[int, typer.Option(min=1, max=16, help="Buckets to try, at most.")] = 6,
    step: Annotated[int, typer.Option(min=1, max=1024, help="Widths are multiples of it.")] = 16,
    draw: Annotated[Path | None, typer.Option(help="File for an image of it, SVG.")] = None,
    trust: Trust = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Find the input widths by which a recognizer takes least time on lines like yours.

    Times the model at a few widths in OpenVINO, looks how wide the lines are, and says what one
    bucket, two, three and more would take. `buckets` in the spec takes the answer.

    Example: `ocr-trt buckets recognizer.yaml --data labeled --draw buckets.svg`
    """
    quiet_libraries(verbose=verbose)
    from ..builder.learned_widths import choose_buckets
    from ..engines.targets import backend
    from ..report.plots import buckets_plot
    from ..spec import RecognizerSpec, load_spec

    spec_paths([spec])
    if draw is not None:
        if draw.suffix.lower() != ".svg":
            raise UserError(f"--draw {draw}: is drawn as SVG; name a file that ends in .svg")
        check_file_destination(draw)
    model, reporter = load_spec(spec), ConsoleReporter(silent=json)
    if not isinstance(model, RecognizerSpec):
        raise UserError(f"{spec}: is a {model.role}; only recognizers have buckets")
    if step > model.input.width // 2:
        raise UserError(f"--step {step}: at most half of the input's width, {model.input.width}")
    lines = calibration_from(data, model, detector, reporter, is_trusted=trust)
    target = backend("openvino")
    found = choose_buckets(model, lines, target, reporter, most=most, step=step)
    if draw is not None:
        write_whole(draw, buckets_plot(found.line_widths, found.best.widths))
    if json:
        print_json(asdict(found))
    else:
        _print(model.name, found)


def _print(name: str, found: BucketChoice) -> None:
    from ..builder.learned_widths import WORTH

    def row(what: str, choice: Buckets) -> tuple[str, ...]:
        return (
            what,
            " ".join(map(str, choice.widths)),
            f"{choice.milliseconds:.2f}",
            f"{100 * choice.saved:.0f} %",
            f"{100 * choice.padding:.0f} %",
        )

    rows = [row(str(len(choice.widths)), choice) for choice in found.choices]
    rows.append(row("the spec's", found.current))
    title = f"{name}: time of a line in full batches, fp32, on {len(found.line_widths)} lines"
    print_table(title, ("buckets", "widths", "ms a line", "saved", "padding"), rows)
    narrow = ", ".join(map(str, found.best.widths[:-1]))
    is_last = found.best is found.choices[-1]
    why = "the most that were tried" if is_last else f"one more saves less than {100 * WORTH:.0f} %"
    print(f"buckets: [{narrow}]   # for the spec; {why}")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(buckets)
