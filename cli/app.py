"""The ``ocr-trt`` program: its commands, and the exit codes and messages of errors.

Exit codes: 0 success; 1 a bug in ocr-trt; 2 an input or an option cannot be used; 3 the model
cannot be converted or built, or some images cannot be read; 4 the engine exceeds its accuracy
budget; 5 a measured value exceeds a limit of ``bench --fail-on``; 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from .. import __version__
from ..errors import OcrTrtError
from .bench import bench
from .build import build
from .bundle import bundle
from .cache import cache
from .debug import debug
from .demo import demo
from .doctor import doctor
from .init import init
from .inspect import inspect
from .optimize import optimize
from .option_groups import expand_groups
from .plugins import plugins
from .printing import one_line
from .run import run
from .schema import schema
from .train import train

_HEADLESS = "opencv-python-headless"
_UsageError = cast(type[Exception], typer.BadParameter.__base__)
"""click's UsageError. typer contains click since 0.26, and does not export this class."""

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
    *(init, inspect, build, optimize, bench, run, debug, bundle),
    *(schema, cache, doctor, demo, plugins, train),
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


def run_program(arguments: Sequence[str]) -> int:
    """Run a command line in this process, print errors on stderr, and return the exit code."""
    try:
        # typer's standalone mode would print usage errors in its own format and end the process.
        code = app(list(arguments), prog_name="ocr-trt", standalone_mode=False) or 0
        # Here, so that a closed pipe or a full disk is handled below, and not at exit.
        sys.stdout.flush()
        return code
    except _UsageError as error:
        return _fail_usage(error)
    except OcrTrtError as error:
        return _fail_known(error, arguments)
    except _Interrupted as stop:
        # Shells use 128 + the number of the signal, too: 130 for SIGINT, 143 for SIGTERM.
        return _fail("interrupted; no incomplete output was left behind", 128 + stop.signal_number)
    except ImportError as error:
        return _fail_import(error, arguments)
    except (BrokenPipeError, SystemExit):
        # The reader, such as head, has closed the pipe; click ends the program with 1 in this case.
        _discard_stdout()
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) and error.filename is None:
            _discard_stdout()
            return _fail(f"the output cannot be written: {error.strerror}", 2)
        if error.filename is None:  # not about a file, so not about the user's input
            return _fail_bug(error, arguments)
        return _fail(f"{error.filename}: {error.strerror}", 2)
    except Exception as error:
        return _fail_bug(error, arguments)


def _discard_stdout() -> None:
    """Write what stdout still contains to nowhere; Python flushes it at exit, and would fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(text: str, code: int) -> int:
    with contextlib.suppress(OSError, ValueError):  # stderr is closed: the exit code remains
        print(f"error: {one_line(text)}", file=sys.stderr)
    return code


def _fail_known(error: OcrTrtError, arguments: Sequence[str]) -> int:
    """Print an error; with -v also the message of the library that caused it."""
    if error.__cause__ is not None and _is_verbose(arguments):
        traceback.print_exception(error.__cause__)
    return _fail(str(error), error.exit_code)


def _fail_import(error: ImportError, arguments: Sequence[str]) -> int:
    """Print how to install what is missing."""
    if "libGL" in str(error):  # opencv-python on a machine without a desktop
        hint = f"install it with: apt-get install libgl1, or: pip install {_HEADLESS}"
        return _fail(f"OpenCV cannot load a library: {error}; {hint}", 2)
    if (error.name or "").split(".")[0] == "onnxscript":  # every conversion needs it
        hint = "install it with: pip install 'ocr-trt[tf]'"
        return _fail(f"converting models needs onnxscript ({error}); {hint}", 2)
    return _fail_bug(error, arguments)


def _fail_usage(error: Any) -> int:
    """Print a usage error with the closest names that exist; see ``click.UsageError``."""
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
        error.show()
        return 2
    text = error.message if hasattr(error, "possibilities") else error.format_message()
    # Remove pydantic's prefix, and typer's suggestion, which ours replaces.
    text = text.replace("Value error, ", "").split(". Did you mean")[0].rstrip(".")
    if close := _close_names(error):
        text += f". Did you mean {' or '.join(close)}?"
    code = _fail(text, 2)
    command = error.ctx.command_path if error.ctx is not None else "ocr-trt"
    print(f"See: {command} --help", file=sys.stderr)
    return code


def _close_names(error: Any) -> list[str]:
    """Return the options, values or commands that a user may have meant."""
    # Some errors have a list of alternatives; others name them only in the message.
    if possibilities := getattr(error, "possibilities", None):
        return sorted(possibilities)
    # A wrong value of an option or argument with fixed choices.
    if choice := re.search(r"'(.*?)' is not one of (.*)", error.message):
        return get_close_matches(choice[1], re.findall(r"'(.*?)'", choice[2]), n=1)
    if command := re.match(r"No such command '(.*?)'", error.message):
        return get_close_matches(command[1], error.ctx.command.commands, n=1)
    return []


def _fail_bug(error: Exception, arguments: Sequence[str]) -> int:
    if _is_verbose(arguments):
        traceback.print_exc()
    text = f"{type(error).__name__}: {error}"
    return _fail(f"internal error, please report it (-v prints the traceback): {text}", 1)


def _is_verbose(arguments: Sequence[str]) -> bool:
    # The raw arguments, because an error of the parser leaves no parsed options.
    return bool({"-v", "--verbose"} & set(arguments))


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM. Not a KeyboardInterrupt, which typer would catch."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


def _interrupt(signal_number: int, _: object) -> None:
    raise _Interrupted(signal_number)


def _end_from_thread(uncaught: threading.ExceptHookArgs) -> None:
    """End the process if a thread reports that native code, which nothing can interrupt, hangs."""
    error = uncaught.exc_value
    if not isinstance(error, OcrTrtError):
        threading.__excepthook__(uncaught)
        return
    code = _fail(str(error), error.exit_code)
    sys.stderr.flush()
    os._exit(code)  # sys.exit would wait for the thread that hangs


def main() -> None:
    """Run the program, and end the process with its exit code."""
    threading.excepthook = _end_from_thread
    # An exception from the handler unwinds the `with` blocks that remove unfinished output.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _interrupt)
    # Python has no stream for a descriptor that was closed.
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115 - open until the process ends
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):  # file names may contain bytes that are not UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run_program(sys.argv[1:]))
