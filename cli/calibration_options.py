"""Calibration on the command line: the images, and the method that chooses int8 ranges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from .choices import MethodChoice
from .model_options import check_exists
from .printing import note_left_out

if TYPE_CHECKING:
    from ..calibration.images import CalibrationSet
    from ..common.progress import Reporter
    from ..spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """Images for calibration, and the method that chooses ranges."""

    PANEL: ClassVar[str] = "Calibration"

    calibration: Annotated[
        Path | None,
        typer.Option(help="Folder of images for calibration; required by all precisions but fp32."),
    ] = None
    method: Annotated[
        MethodChoice | None,
        typer.Option(
            help="How int8 ranges are chosen. auto tries all methods and selects the one with the "
            "best OCR metric. Default: mse, or auto with --precision best."
        ),
    ] = None
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Skip calibration images that cannot be read.")
    ] = False
    detector: Annotated[
        Path | None,
        typer.Option(help="Detector bundle that crops the lines of a recognizer from the images."),
    ] = None


def check_paths(options: CalibrationOptions) -> None:
    """Check that the folder of images and the bundle of the detector exist.

    Raises:
        UserError: one of them does not exist.
    """
    for path in (options.calibration, options.detector):
        if path is not None:
            check_exists(path)


def load_calibration_images(
    options: CalibrationOptions,
    spec: ModelSpec,
    reporter: Reporter,
    *,
    is_trusted: bool,
) -> CalibrationSet:
    """Open the folder of calibration images.

    If ``options.detector`` is given, that bundle crops the lines of a recognizer from the images;
    ``is_trusted`` applies to it, see :class:`Bundle`.

    Raises:
        InputFileError: the folder or the bundle cannot be used, or the folder holds no images.
        SpecError: the bundle is not a detector.
    """
    from ..calibration.images import load_calibration

    folder = options.calibration
    assert folder is not None, "checked by the command"
    crops = None
    # A detector is calibrated on whole images, whatever --detector states.
    if options.detector is not None and spec.role == "recognizer":
        from ..builder.calibrate import detected_crops
        from ..engines.bundle import load_bundle
        from ..engines.engine import Engine
        from ..ocr.dataset import load_dataset

        # Crops are boxes in image files, so calibration no longer needs the detector.
        with Engine.from_bundle(load_bundle(options.detector, is_trusted=is_trusted)) as engine:
            crops = detected_crops(load_dataset(folder), engine, reporter)
    loaded = load_calibration(folder, spec, crops=crops, skip_bad=options.skip_bad)
    note_left_out(loaded.dataset, reporter)
    return loaded


def method_or_default(method: MethodChoice | None, *, is_search: bool) -> str:
    """Return the name of a method; ``is_search``: the build searches for the best precision."""
    if method is not None:
        return method.value
    return "auto" if is_search else "mse"
