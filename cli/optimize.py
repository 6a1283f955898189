"""``ocr-trt optimize``: streams of bundles, widths of a recognizer, or engines of two models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from ..errors import UserError
from .calibration_options import CalibrationOptions, load_calibration_images
from .model_options import check_exists, is_spec, load_spec_file
from .optimize_pairs import PairOptions, optimize_pairs
from .printing import print_json, print_table
from .shared_options import DisplayOptions, Trust

if TYPE_CHECKING:
    from ..builder.learned_widths import BucketChoice, Buckets
    from ..measure.stream_trials import StreamTrials
    from ..spec import RecognizerSpec


_LARGEST_PLOT = 16 << 20  # bytes
_LISTED = 8  # widths in a row of the table


@dataclass(frozen=True, kw_only=True)
class WidthOptions:
    """How input widths are chosen."""

    PANEL: ClassVar[str] = "Input widths of a recognizer spec"

    detector: Annotated[
        Path | None, typer.Option(help="Detector bundle that crops the lines from the images.")
    ] = None
    max_widths: Annotated[
        int, typer.Option(min=1, max=64, help="Largest number of widths to try.")
    ] = 6
    step: Annotated[int, typer.Option(min=1, max=1024, help="Try multiples of this width.")] = 16
    draw: Annotated[Path | None, typer.Option(help="SVG file for a plot of lines and widths.")] = (
        None
    )


def optimize(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Engine bundles, the spec of a recognizer, or the specs of a detector and a "
            "recognizer.",
            metavar="BUNDLE|SPEC",
        ),
    ],
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            help="For specs: a folder of images like those to be read, with labels.json. For one "
            "recognizer, also a folder of line images."
        ),
    ] = None,
    trust: Trust = False,
    width: WidthOptions,
    pair: PairOptions,
    display: DisplayOptions,
) -> None:
    """Measure which streams, input widths, or engines of both models are fastest here.

    For bundles: try numbers of streams (batches that run at once) and threads, and store the
    fastest in $XDG_CACHE_HOME/ocr-trt/tuning (by default ~/.cache/ocr-trt/tuning) for this
    processor and number of cores. `run` and `Engine.from_bundle` use it; results of engines do not
    change. Measure on the machine that will run the engines, while it is idle.

    For the spec of a recognizer: time the model at several input widths with OpenVINO, and print
    the `buckets` that minimize the time for lines like those in --data.

    For the specs of a detector and a recognizer: build both in several precisions, input sizes and
    widths, measure pairs of them on the images of --data, and write the fastest pair whose loss of
    end-to-end hmean is within --budget. If no pair is, nothing is written, and the exit code is 4.

    Example: `ocr-trt optimize bundles/*` or `ocr-trt optimize recognizer.yaml --data labeled` or
    `ocr-trt optimize detector.yaml recognizer.yaml --data labeled --calibration images`
    """
    named = (data, width.detector, pair.calibration)
    for path in (*paths, *(each for each in named if each is not None)):
        check_exists(path)
    specs = [path for path in paths if is_spec(path)]
    if not specs:
        if data is not None or width != WidthOptions() or pair != PairOptions():
            raise UserError(
                "bundles are timed without images: --data and the options of specs need a "
                "recognizer's spec, or the specs of a detector and a recognizer"
            )
        _optimize_streams(paths, display, is_trusted=trust)
        return
    if len(specs) < len(paths):
        other = next(path for path in paths if path not in specs)
        raise UserError(f"{specs[0]} is a spec and {other} is not: give only bundles or only specs")
    if data is None:
        what = "lines" if len(specs) == 1 else "images"
        raise UserError(f"{specs[0]}: is a spec; give --data DIR with {what} like those to be read")
    if len(specs) == 1:
        if pair != PairOptions():
            raise UserError(
                "--budget, --output and the other options for a detector and a recognizer need "
                "both specs, but one was given; add the spec of the other model"
            )
        _optimize_widths(specs[0], data, width, display, is_trusted=trust)
        return
    if (width.detector, width.draw) != (None, None):
        raise UserError("--detector and --draw are for the spec of one recognizer only")
    optimize_pairs(specs, data, pair, (width.max_widths, width.step), display)


def _optimize_streams(paths: Sequence[Path], display: DisplayOptions, *, is_trusted: bool) -> None:
    from ..engines.bundle import load_bundle
    from ..engines.tuned import check_tunable, save_tuning
    from ..measure.stream_trials import StreamSettings, optimize_streams

    bundles = [load_bundle(path, is_trusted=is_trusted) for path in paths]
    for bundle in bundles:  # all bundles, before the first one is measured
        check_tunable(bundle)
    rows: dict[str, Any] = {}
    for bundle in bundles:
        # Kept after each bundle, so that an interruption loses only the results of the current one.
        result = optimize_streams(bundle, StreamSettings(), display.reporter())
        rows[str(bundle.folder)] = {
            "trials": [
                {**asdict(each), "choice": each.choice.model_dump()} for each in result.trials
            ],
            "tuning": result.tuning.model_dump(),
            "kept": str(save_tuning(bundle, result.tuning)),
        }
        if not display.json:
            _print_trials(bundle.label, result)
    if display.json:
        print_json(rows)


def _print_trials(label: str, result: StreamTrials) -> None:
    header = ("mode", "streams", "threads", "batch", "ms", "images/s", "result")
    chosen = {"latency": result.tuning.latency, "throughput": result.tuning.throughput}
    rows = [
        (
            *(trial.mode, str(trial.choice.streams), str(trial.choice.threads or "-")),
            *(str(trial.batch), f"{trial.milliseconds:.2f}", f"{trial.images_per_second:.1f}"),
            "chosen" if trial.choice == chosen[trial.mode] else "",
        )
        for trial in result.trials
    ]
    print_table(label, header, rows)


def _optimize_widths(
    path: Path, data: Path, width: WidthOptions, display: DisplayOptions, *, is_trusted: bool
) -> None:
    from ..builder.learned_widths import WidthSettings, choose_buckets
    from ..common.files import check_file_destination, write_whole
    from ..engines.targets import backend
    from ..report.plots import buckets_plot
    from ..spec import RecognizerSpec

    if width.draw is not None:
        if width.draw.suffix.lower() != ".svg":
            raise UserError(f"--draw {width.draw}: expected a name that ends in .svg")
        check_file_destination(width.draw, _is_svg)  # before the measurement
    spec, reporter = load_spec_file(path), display.reporter()
    if not isinstance(spec, RecognizerSpec):
        raise UserError(f"{path}: is a {spec.role}; only recognizers have several input widths")
    if width.step > spec.input.width // 2:
        raise UserError(
            f"--step {width.step}: expected at most half of the input width {spec.input.width}"
        )
    images = CalibrationOptions(calibration=data, detector=width.detector)
    lines = load_calibration_images(images, spec, reporter, is_trusted=is_trusted)
    settings = WidthSettings(max_widths=width.max_widths, step=width.step)
    result = choose_buckets(spec, lines, backend("openvino"), settings, reporter)
    if width.draw is not None:
        write_whole(width.draw, buckets_plot(result.line_widths, result.best.widths))
    if display.json:
        print_json(asdict(result))
    else:
        _print_widths(spec, result)


def _is_svg(path: Path) -> bool:
    from ..common.read_file import read_limited

    return b"<svg" in read_limited(path, limit=_LARGEST_PLOT, what="an SVG file")


def _print_widths(spec: RecognizerSpec, result: BucketChoice) -> None:
    from ..builder.learned_widths import MIN_SAVING

    rows = [_width_row(str(len(choice.widths)), choice) for choice in result.choices]
    rows.append(_width_row("in the spec", result.current))
    title = f"{spec.name}: fp32 time per line in full batches, on {len(result.line_widths)} lines"
    print_table(title, ("number", "widths", "ms per line", "saved", "padding"), rows)
    if result.cut:
        widest = result.best.widths[-1]
        print(
            f"{result.cut} of {len(result.line_widths)} lines are too wide for the input width "
            f"{widest} and are read in windows; a wider one in input.shape may be faster"
        )
    # The spec lists the widths besides the input's own, which is the last.
    narrow = ", ".join(map(str, result.best.widths[:-1]))
    is_last = result.best is result.choices[-1]
    why = (
        "the largest number tried"
        if is_last
        else f"one more saves less than {100 * MIN_SAVING:.0f} %"
    )
    print(f"buckets: [{narrow}]   # for the spec; {why}")
    if spec.width_step is not None:
        print(
            f"width_step is {spec.width_step}: unless the build notes that it has no effect, "
            "OpenVINO and onnxruntime run one plan at the widths of the last row; of buckets, "
            "only the narrowest counts"
        )


def _listed(widths: Sequence[int]) -> str:
    """Return widths as text; of many, the first two and the last."""
    if len(widths) <= _LISTED:
        return " ".join(map(str, widths))
    return f"{widths[0]} {widths[1]} .. {widths[-1]} ({len(widths)})"


def _width_row(what: str, choice: Buckets) -> tuple[str, ...]:
    return (
        what,
        _listed(choice.widths),
        f"{choice.milliseconds:.2f}",
        f"{100 * choice.saved:.0f} %",
        f"{100 * choice.padding:.0f} %",
    )
