"""The ``ocr-trt`` program: its commands, and the exit codes and messages of errors.

Exit codes: 0 success; 1 a bug in ocr-trt; 2 an input or an option cannot be used; 3 the model
cannot be converted or built, or some images cannot be read; 4 the engine exceeds its accuracy
budget; 5 a measured value exceeds a limit of ``bench --fail-on``; 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout, suppress
from typing import Annotated, Any, cast

import typer

from .. import __version__
from ..errors import OcrTrtError, UserError
from .batch import batch
from .bench import bench
from .build import build
from .bundle import bundle
from .cache import cache
from .debug import debug
from .demo import demo
from .doctor import doctor
from .export import export
from .failure import Failure, UsageError, failure_of
from .init import init
from .inspect import inspect
from .interruption import Interrupted, Interruption
from .models import models
from .optimize import optimize
from .option_groups import expand_groups
from .plugins import plugins
from .printing import json_text
from .run import run
from .schema import schema
from .serve import serve
from .train import train

app = typer.Typer(
    name="ocr-trt",
    help="Turn TensorFlow OCR models into fast engines with measured accuracy.",
    epilog="Exit codes: 0 ok, 1 bug, 2 bad input, 3 cannot convert or read, 4 over accuracy "
    "budget, 5 worse than --fail-on allows.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # run_program prints all errors
    rich_markup_mode="markdown",
)

# In the order in which --help lists them.
for _command in (
    *(init, inspect, build, optimize, bench, run, batch, serve, export, debug, bundle),
    *(models, schema, cache, doctor, demo, plugins, train),
):
    app.command()(expand_groups(_command))


def _print_version(is_given: bool) -> None:
    if is_given:
        typer.echo(f"ocr-trt {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Turn TensorFlow OCR models into fast engines with measured accuracy."""


def run_program(arguments: Sequence[str], interruption: Interruption | None = None) -> int:
    """Run a command line in this process, print errors on stderr, and return the exit code.

    With --json, stdout gets one document: the result, or the error if there is no result. Errors
    after an ``interruption`` are consequences of it, and are reported as such.
    """
    is_json = "--json" in arguments
    printed = io.StringIO()
    with redirect_stdout(printed) if is_json else nullcontext():
        outcome = _outcome(arguments, interruption)
    failure = None if isinstance(outcome, int) else outcome
    if failure is not None:
        _show(failure)
    text = printed.getvalue()
    if is_json and failure is not None and not text:
        text = json_text({"error": failure.as_dict()})
    # Flushed here, so that a closed pipe or a full disk is handled here, and not at exit.
    problem = _print_all(text)
    if problem is not None:
        _show(problem)
    ended = failure or problem
    return ended.code if ended is not None else cast(int, outcome)


def _outcome(arguments: Sequence[str], interruption: Interruption | None) -> int | Failure:
    """Run a command line; return its exit code, or what ended it."""
    try:
        if "\0" in "".join(arguments):  # from Python only; Python 3.10 raises ValueError for them
            raise UserError("an argument contains a NUL character; expected a name without it")
        # typer's standalone mode would print usage errors in its own format and end the process.
        return app(list(arguments), prog_name="ocr-trt", standalone_mode=False) or 0
    except (BrokenPipeError, SystemExit):
        # The reader, such as head, has closed the pipe; click ends the program with 1 in this case.
        _discard_stdout()
        return 0
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
            cast(Any, error).show()
            return 2
        return failure_of(error)
    except (Exception, Interrupted) as error:
        if interruption is not None and interruption.is_requested:
            return failure_of(Interrupted(interruption.number))
        _print_traceback(error, arguments)
        if isinstance(error, OSError) and error.filename is None:  # perhaps of stdout: a full disk
            _discard_stdout()
        return failure_of(error)


def _print_all(text: str) -> Failure | None:
    """Print the rest of the output, and flush it; return why that is not possible."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
    except OSError as error:
        _discard_stdout()
        return failure_of(error)
    return None


def _discard_stdout() -> None:
    """Write what stdout still contains to nowhere; Python flushes it at exit, and would fail."""
    with suppress(io.UnsupportedOperation):  # with --json, it is held back in memory
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show(failure: Failure) -> None:
    with suppress(OSError, ValueError):  # stderr is closed: the exit code remains
        print(f"error: {failure.message}", file=sys.stderr)
        if failure.hint:
            print(failure.hint, file=sys.stderr)


def _print_traceback(error: BaseException, arguments: Sequence[str]) -> None:
    """With -v, print the traceback of a bug, or of the library's error that caused a known one."""
    # The raw arguments, because an error of the parser leaves no parsed options.
    if {"-v", "--verbose"} & set(arguments):
        if not isinstance(error, OcrTrtError):
            traceback.print_exception(error)
        elif error.__cause__ is not None:
            traceback.print_exception(error.__cause__)


def _end_from_thread(uncaught: threading.ExceptHookArgs) -> None:
    """End the process if a thread reports that native code, which nothing can interrupt, hangs."""
    error = uncaught.exc_value
    if not isinstance(error, OcrTrtError):
        threading.__excepthook__(uncaught)
        return
    failure = failure_of(error)
    _show(failure)
    sys.stderr.flush()
    if "--json" in sys.argv and sys.__stdout__ is not None:  # sys.stdout is held back in memory
        print(json_text({"error": failure.as_dict()}), end="", file=sys.__stdout__, flush=True)
    os._exit(failure.code)  # sys.exit would wait for the thread that hangs


def run_in_process(arguments: Sequence[str], interruption: Interruption) -> int:
    """Run a command line as the only program of this process; return the exit code."""
    threading.excepthook = _end_from_thread
    return run_program(arguments, interruption)
