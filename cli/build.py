"""``ocr-trt build``: build checked engine bundles from specs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import SpecError, UserError
from .calibration_options import (
    CalibrationOptions,
    check_paths,
    load_calibration_images,
    method_or_default,
)
from .choices import CorrectionChoice, RequestedPrecision, RequestedTarget
from .model_options import ModelOptions, check_exists, load_or_draft_spec
from .printing import note_left_out, print_json
from .shared_options import DataFolder, DisplayOptions, Trust
from .verdicts import print_verdicts, result_as_dict

if TYPE_CHECKING:
    from ..builder import BuildRequest
    from ..spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """The engines to build of each model."""

    target: Annotated[
        list[RequestedTarget] | None,
        typer.Option(
            help="Runtime to build for; repeatable. Default: auto, which builds for every runtime "
            "that can run here, times all of them together, and keeps the fastest engine within "
            "the accuracy budget."
        ),
    ] = None
    precision: Annotated[
        RequestedPrecision,
        typer.Option(help="best: the fastest mix of precisions within the accuracy budget."),
    ] = RequestedPrecision.INT8
    weight_correction: Annotated[
        list[CorrectionChoice] | None,
        typer.Option(
            help="Correction of the weights before int8 quantization: equalize scales channels to "
            "similar ranges, bias corrects the mean error of each layer; repeatable."
        ),
    ] = None
    everywhere: Annotated[
        bool,
        typer.Option(
            "--everywhere",
            help="Also run the first layer, the last layer and all matrix products in int8.",
        ),
    ] = False
    compress: Annotated[
        bool,
        typer.Option(
            "--compress",
            help="Make the network smaller first: factor layers and prune channels without "
            "training, as far as the accuracy budget allows. Requires --calibration.",
        ),
    ] = False
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help="Option of a target's builder, such as workspace=2048; repeatable.",
        ),
    ] = None
    ranges: Annotated[
        Path | None,
        typer.Option(
            help="JSON file of calibration ranges. If it exists, the build uses its ranges, which "
            "must belong to the same model, data and method. Otherwise the build writes the file."
        ),
    ] = None
    duration: Annotated[
        float, typer.Option(min=0.01, max=3600, help="Seconds to time each engine.")
    ] = 3.0
    output: Annotated[Path, typer.Option(help="Folder for the bundles.")] = Path("bundles")
    no_cache: Annotated[
        bool,
        typer.Option(
            "--no-cache", help="Build and measure again, even if the bundle is in the build cache."
        ),
    ] = False

    @property
    def target_names(self) -> tuple[str, ...]:
        """Each requested target once, in the order of the command line."""
        requested = self.target or [RequestedTarget.AUTO]
        return tuple(dict.fromkeys(each.value for each in requested))


def build(
    models: Annotated[list[Path], typer.Argument(help="Specs, or model files with --role.")],
    *,
    data: DataFolder = None,
    trust: Trust = False,
    engine: EngineOptions,
    calibration: CalibrationOptions,
    model: ModelOptions,
    display: DisplayOptions,
) -> None:
    """Convert, calibrate and compile models, and compare every engine with its model.

    An engine that loses more accuracy than its spec allows is not written, and the exit code is 4.

    Example: `ocr-trt build detector.yaml --target openvino --calibration images --data labeled`
    """
    reporter = display.reporter()
    # All of this is checked before a model is loaded, which may take a minute, and before the
    # libraries are imported, which takes a second.
    _check_options(models, engine, calibration)
    from ..builder import build as build_bundles
    from ..ocr.dataset import load_dataset

    samples = load_dataset(data) if data else None
    note_left_out(samples, reporter)
    requests: list[BuildRequest] = []
    for path in models:
        spec = load_or_draft_spec(path, model, reporter)
        images = None
        if calibration.calibration is not None:
            images = load_calibration_images(calibration, spec, reporter, is_trusted=trust)
        request = _request(spec, engine, calibration)
        requests.append(replace(request, calibration=images, samples=samples))
    _check_names(requests)  # before the first build
    # A target that fails has an error in place of a bundle, and does not stop the others.
    results = [result for request in requests for result in build_bundles(request, reporter)]
    if display.json:
        print_json([result_as_dict(result) for result in results])
    else:
        print_verdicts(results)
    failed = [result.error for result in results if result.error is not None]
    for error in failed[1:]:  # the first is printed by the program, with its exit code
        print(f"error: {error}", file=sys.stderr)
    if failed:
        raise failed[0]


def _check_options(
    models: Sequence[Path], engine: EngineOptions, calibration: CalibrationOptions
) -> None:
    """Check what needs no model: that files exist, and that the targets can do what is requested.

    Raises:
        UserError: a path does not exist, or options contradict each other.
        TargetMissingError: a target cannot build here.
    """
    for path in models:
        check_exists(path)
    check_paths(calibration)
    if engine.precision is not RequestedPrecision.FP32 and calibration.calibration is None:
        raise UserError(
            f"precision {engine.precision.value} needs calibration images: "
            "give --calibration DIR, or --precision fp32"
        )
    if engine.compress and calibration.calibration is None:
        raise UserError(
            "--compress fits the smaller weights to calibration images: give --calibration DIR"
        )
    from ..engines.base import BuildSettings
    from ..engines.build_options import check_options, split_words
    from ..engines.target_groups import target_groups

    settings = BuildSettings(options=split_words(engine.option or ()))
    groups = target_groups(engine.target_names, engine.precision.value, settings)
    check_options([target for group in groups for target in group.members], settings.options)


def _request(
    spec: ModelSpec, engine: EngineOptions, calibration: CalibrationOptions
) -> BuildRequest:
    """Return the request for one model, without images and samples."""
    from ..builder import BuildRequest
    from ..engines.base import BuildSettings
    from ..engines.build_cache import default_cache
    from ..engines.build_options import split_words
    from ..measure.latency import LatencySettings

    corrections = engine.weight_correction or ()
    is_search = engine.precision is RequestedPrecision.BEST
    return BuildRequest(
        spec=spec,
        targets=engine.target_names,
        precision=engine.precision.value,
        output=engine.output,
        method=method_or_default(calibration.method, is_search=is_search),
        # In the order of the enumeration, not of the command line: bias follows equalize.
        corrections=tuple(each.value for each in CorrectionChoice if each in corrections),
        ranges=engine.ranges,
        everywhere=engine.everywhere,
        compress=engine.compress,
        settings=BuildSettings(
            max_batch=spec.input.max_batch, options=split_words(engine.option or ())
        ),
        latency=LatencySettings(duration_s=engine.duration),
        cache=None if engine.no_cache else default_cache(),
    )


def _check_names(requests: Sequence[BuildRequest]) -> None:
    names = [request.spec.name for request in requests]
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None:
        raise SpecError(
            f"two specs are named {duplicate!r}, so their bundles would have one name; rename one"
        )
