"""The ``ocr-trt`` program: its commands, and what becomes of errors.

Exit codes: 0 all well; 1 a bug of ours; 2 what was given cannot be used; 3 the model cannot be
converted or built, or some images could not be read; 4 the engine is over its accuracy budget;
5 a measure is past a limit of ``bench --fail-on``; 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from typing import Annotated

import typer

from .. import __version__
from ..errors import OcrTrtError
from . import (
    bench,
    buckets,
    build,
    bundle,
    cache,
    calibrate,
    debug,
    demo,
    doctor,
    init,
    inspect,
    plugins,
    run,
    schema,
    train,
    tune,
)

_HEADLESS = "opencv-python-headless"

EPILOG = (
    "Exit codes: 0 ok, 1 bug, 2 bad input, 3 cannot convert or read, 4 over accuracy budget, "
    "5 worse than --fail-on allows."
)

app = typer.Typer(
    name="ocr-trt",
    help="TensorFlow OCR models in, fast engines of measured accuracy out.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

for _module in (
    init,
    inspect,
    build,
    calibrate,
    buckets,
    tune,
    bench,
    run,
    debug,
    bundle,
    schema,
    cache,
    doctor,
    demo,
    plugins,
    train,
):
    _module.add_to(app)


def _show_version(expected: bool) -> None:
    if expected:
        typer.echo(f"ocr-trt {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """TensorFlow OCR models in, fast engines of measured accuracy out."""


def _fail(text: str, code: int) -> int:
    print(f"error: {text}", file=sys.stderr)
    return code


def _run() -> int:
    try:
        app(sys.argv[1:], standalone_mode=True)
    except SystemExit as end:  # typer ends like this, also when all is well
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except OcrTrtError as error:
        return _fail(str(error), error.exit_code)
    except _Interrupted as stop:
        return _fail("interrupted; nothing was left half-written", 128 + stop.signal_number)
    except ImportError as error:
        if "libGL" in str(error):  # opencv-python on a machine without a desktop
            return _fail(f"OpenCV: {error}; apt-get install libgl1, or pip install {_HEADLESS}", 2)
        return _bug(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            return _bug(error)
        return _fail(f"{error.filename}: {error.strerror}", 2)
    except Exception as error:
        return _bug(error)
    return 0


def _bug(error: Exception) -> int:
    if {"-v", "--verbose"} & set(sys.argv):
        traceback.print_exc()
    text = f"{type(error).__name__}: {error}"
    return _fail(f"internal error, please report it (-v shows where): {text}", 1)


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM. Not a KeyboardInterrupt, which typer would swallow."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


def _interrupt(signal_number: int, _: object) -> None:
    raise _Interrupted(signal_number)


def main() -> None:
    """Run the program and leave the process with its exit code."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _interrupt)
    for stream in (sys.stdout, sys.stderr):  # file names may hold anything
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run())
