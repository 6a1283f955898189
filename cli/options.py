"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines, nothing else.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show details and tracebacks.")]
PrecisionName = Annotated[str, typer.Option("--precision", help="fp32, fp16 or int8.")]
CalibrationFolder = Annotated[
    Path | None,
    typer.Option("--calibration", help="Folder of pictures to take int8 and fp16 ranges from."),
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of pictures with labels.json to measure accuracy on."),
]
Method = Annotated[
    str, typer.Option("--method", help="How ranges are chosen: minmax, percentile or mse.")
]
