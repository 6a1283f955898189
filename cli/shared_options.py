"""Options that every command has, and some that several share."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

if TYPE_CHECKING:
    from .console_reporter import ConsoleReporter


def _set_log_level(verbose: bool) -> bool:
    """Silence the log messages and warnings of libraries, unless ``verbose``."""
    if not verbose:
        logging.disable(logging.WARNING)  # in all loggers, and all lower levels
        warnings.filterwarnings("ignore", module="PIL")  # about sizes and damaged EXIF data
    return verbose


@dataclass(frozen=True, kw_only=True)
class DisplayOptions:
    """What a command prints."""

    PANEL: ClassVar[str] = "Display"

    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the result, or the error, as JSON, and nothing else on stdout."
        ),
    ] = False
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print no progress and no notes.")
    ] = False
    verbose: Annotated[
        bool,
        typer.Option(
            "-v",
            "--verbose",
            callback=_set_log_level,
            help="Print details, log messages of libraries, and tracebacks.",
        ),
    ] = False

    def reporter(self) -> ConsoleReporter:
        """Return the reporter of this command's progress."""
        from .console_reporter import ConsoleReporter

        return ConsoleReporter(silent=self.json or self.quiet)


DataFolder = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of images with labels.json, to measure accuracy on."),
]
TrustSource = Annotated[
    bool,
    typer.Option(
        "--trust-source",
        help="Run the model that a bundle names, although you did not build the bundle from it on "
        "this machine. Only for models from a source you trust.",
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Run the code that version-compatible TensorRT plans contain. Only for plans from a "
        "source you trust.",
    ),
]
