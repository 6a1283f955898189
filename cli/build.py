"""``ocr-trt build``: specs in, checked engine bundles out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import SpecError
from .console import ConsoleReporter, print_json, print_table, quiet_libraries
from .options import (
    CalibrationFolder,
    DataFolder,
    DetectorBundle,
    Json,
    Method,
    PrecisionName,
    SkipBad,
    Trust,
    Verbose,
)
from .specs import (
    ModelOptions,
    calibration_from,
    corrections_from,
    method_from,
    numbers,
    precision_from,
    spec_from_path,
    spec_paths,
)

if TYPE_CHECKING:
    from ..builder import BuildRequest, BuildResult


def build(
    models: Annotated[list[Path], typer.Argument(help="Specs, or model files with --role.")],
    target: Annotated[
        list[str] | None,
        typer.Option(help="openvino, tensorrt-rtx, tensorrt or onnxruntime; repeatable."),
    ] = None,
    precision: PrecisionName = "int8",
    calibration: CalibrationFolder = None,
    data: DataFolder = None,
    output: Annotated[Path, typer.Option(help="Folder that gets the bundles.")] = Path("bundles"),
    method: Method = None,
    correction: Annotated[
        list[str] | None,
        typer.Option(help="What is done to the float graph before int8: equalize, bias."),
    ] = None,
    ranges: Annotated[
        Path | None,
        typer.Option(
            help="File of ranges: written, or if it is there used, for the same model and data."
        ),
    ] = None,
    everywhere: Annotated[
        bool,
        typer.Option(help="int8 also for the first and the last layer, and all matrix products."),
    ] = False,
    detector: DetectorBundle = None,
    skip_bad: SkipBad = False,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help="Option of a target's builder, such as workspace=2048; repeatable.",
        ),
    ] = None,
    role: Annotated[str | None, typer.Option(help="Of a model file: detector, recognizer.")] = None,
    input: Annotated[str | None, typer.Option(help="Of a model file: NAME:1x640x640x3.")] = None,
    mean: Annotated[str | None, typer.Option(help="Of a model file: 127.5 or 123,117,104.")] = None,
    scale: Annotated[
        str | None, typer.Option(help="Of a model file: (pixel-mean) * scale.")
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Build and measure anew what was built before.")
    ] = False,
    trust: Trust = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Convert, calibrate and compile models, and compare every engine with its model.

    An engine that loses more accuracy than its spec allows is not written: exit code 4.

    Example: `ocr-trt build detector.yaml --target openvino --calibration images --data labeled`
    """
    quiet_libraries(verbose=verbose)
    from ..builder import BuildRequest
    from ..builder import build as build_bundles
    from ..engines.base import BuildSettings
    from ..engines.build_cache import default_cache
    from ..engines.build_options import split_words
    from ..ocr.dataset import load_dataset

    options = ModelOptions(
        role=role, input=input, mean=numbers(mean, "--mean"), scale=numbers(scale, "--scale")
    )
    target_options = split_words(option or ())
    reporter = ConsoleReporter(silent=json)
    cache = None if no_cache else default_cache()
    expected = precision_from(precision)
    requests: list[BuildRequest] = []
    for path in spec_paths(models):
        spec = spec_from_path(path, options, reporter)
        settings = BuildSettings(max_batch=spec.input.max_batch, options=target_options)
        requests.append(
            BuildRequest(
                spec=spec,
                targets=tuple(dict.fromkeys(target or ["openvino"])),
                precision=expected,
                output=output,
                calibration=calibration_from(
                    calibration, spec, detector, reporter, skip_bad=skip_bad, is_trusted=trust
                )
                if calibration
                else None,
                samples=load_dataset(data) if data else None,
                method=method_from(method, expected),
                corrections=corrections_from(correction or ()),
                ranges=ranges,
                everywhere=everywhere,
                settings=settings,
                cache=cache,
            )
        )
    _check_names(requests)
    results: list[BuildResult] = []
    for request in requests:
        results += build_bundles(request, reporter)
    if json:
        print_json([_as_dict(result) for result in results])
    else:
        print_verdicts(results)
    failed = [result.error for result in results if result.error is not None]
    for error in failed[1:]:
        print(f"error: {error}", file=sys.stderr)
    if failed:
        raise failed[0]


def _check_names(requests: Sequence[BuildRequest]) -> None:
    names = [request.spec.name for request in requests]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SpecError(f"two specs are named {twice!r}, and so would be their bundles; rename one")


def _as_dict(result: BuildResult) -> dict[str, Any]:
    verdict = result.bundle.manifest.verdict if result.bundle else None
    return {
        "target": result.target,
        "bundle": str(result.folder) if result.bundle else None,
        "verdict": verdict.model_dump() if verdict else None,
        "cached": result.measured.isoformat(timespec="seconds") if result.measured else None,
        "error": str(result.error) if result.error else None,
    }


def verdict_row(result: BuildResult) -> tuple[str, ...]:
    """Return name, difference, accuracy, speed and verdict of a target, as the table shows them."""
    from ..ocr.metrics.metric import METRICS

    if result.bundle is None or result.bundle.manifest.verdict is None:
        return result.folder.name, "-", "-", "-", "failed"
    verdict = result.bundle.manifest.verdict
    accuracy = "not measured: no images"
    if (found := verdict.metric) is not None:
        accuracy = (
            f"{found.name} {100 * found.engine:.2f} / {100 * found.baseline:.2f} "
            f"({-METRICS[found.name].sign * found.loss:+.2f})"
        )
        if not found.labeled:
            accuracy += ", agreement"
        if verdict.latency is None:
            accuracy += " *"
    speed, word = "built, not run here", "ok"
    if (latency := verdict.latency) is not None:
        speed = f"{latency.speedup:.2f}x ({latency.engine:.1f} / {latency.baseline:.1f} ms)"
        word = "ok" if latency.speedup > 1 else "ok, but slower"
    return result.folder.name, f"{verdict.max_difference:.1e}", accuracy, speed, word


def print_verdicts(results: Sequence[BuildResult]) -> None:
    """Print one row per built engine: parity, accuracy and speed, each against the baseline."""
    done = [r.bundle.manifest.verdict for r in results if r.bundle and r.bundle.manifest.verdict]
    against = done[0].baseline if done else "the model"
    header = ("engine", "fp32 differs by", "accuracy, points", "speed", "verdict")
    print_table(f"Verdict: engine / {against}", header, [verdict_row(result) for result in results])
    if any(verdict.metric and verdict.latency is None for verdict in done):
        print("* of its quantized graph in onnxruntime: the engine cannot run here")
    for result in results:
        if result.measured is not None:
            when = f"{result.measured.astimezone():%Y-%m-%d %H:%M}"
            print(
                f"{result.folder.name}: from the build cache, its verdict, speed too, was measured "
                f"on {when}; --no-cache measures anew"
            )
    for result in results:
        if result.bundle is not None:
            print(result.folder)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(build)
