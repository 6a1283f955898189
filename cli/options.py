"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines, nothing else.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show details and tracebacks.")]
PrecisionName = Annotated[
    str, typer.Option("--precision", help="fp32, bf16, fp16, int8, or best: the fastest in budget.")
]
CalibrationFolder = Annotated[
    Path | None,
    typer.Option("--calibration", help="Folder of images to take int8 and fp16 ranges from."),
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of images with labels.json to measure accuracy on."),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="How int8 ranges are chosen: minmax, average, percentile, entropy, mse; auto tries "
        "them, and asks the OCR metric. By default mse, and auto with --precision best.",
    ),
]
DetectorBundle = Annotated[
    Path | None,
    typer.Option("--detector", help="Bundle that cuts a recognizer's lines out of the images."),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Let TensorRT's version-compatible plans run the code that is in them."
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Leave out calibration images that cannot be read."),
]
