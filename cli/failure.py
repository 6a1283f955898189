"""What ended a command: exceptions as exit codes, as messages for people, and as JSON."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast

import typer

from ..common.error_text import is_out_of_memory, why_not_imported
from ..errors import OcrTrtError
from .interruption import MESSAGE, Interrupted
from .printing import one_line

_DISPLAY = ("--json", "--quiet", "-q", "--verbose", "-v")
"""Options of every command, which are often written in front of it."""
_EXTRAS = {
    **dict.fromkeys(("h5py", "keras", "onnxscript", "tensorflow", "tf2onnx"), "tf"),
    **dict.fromkeys(("polygraphy", "tensorrt_rtx"), "rtx"),
    **dict.fromkeys(("pycuda", "tensorrt"), "gpu"),
    **dict.fromkeys(("fastapi", "prometheus_client", "python_multipart", "uvicorn"), "serve"),
    "cuda": "cuda",
    "tritonclient": "triton",
    **dict.fromkeys(("pandas", "pyarrow", "ray"), "ray"),
}
"""The extra of pyproject.toml that installs a module. onnxscript is in every conversion."""
_NO_MEMORY = (
    "there is not enough memory for this; end other programs, or use a smaller model, smaller "
    "images or fewer workers"
)
_HEADLESS = "opencv-python-headless"
UsageError = cast(type[Exception], typer.BadParameter.__base__)
"""click's UsageError. typer contains click since 0.26, and does not export this class."""
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What ended a command.

    Attributes:
        type: name of the exception's class.
        message: what happened, and what to do next.
        code: exit code.
        hint: a further line for people, or "".
    """

    type: str
    message: str
    code: int
    hint: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the error for JSON; ``json_documents.ErrorFacts`` is its schema."""
        return {"type": self.type, "message": self.message, "exit_code": self.code}


def failure_of(error: BaseException) -> Failure:
    """Describe an exception that ended a command, or that prevented a part of its result."""
    if isinstance(error, UsageError):
        return _usage_failure(error)
    if isinstance(error, OcrTrtError):
        return _failure(error, str(error), error.exit_code)
    if isinstance(error, Interrupted):
        return _failure(error, MESSAGE, error.exit_code)
    if isinstance(error, ImportError) and (text := _missing(error)):
        return _failure(error, text, 2)
    if is_out_of_memory(error):
        return _failure(error, _NO_MEMORY, 2)
    if isinstance(error, OSError):
        if _is_folder_gone(error):
            return _failure(error, "the current folder no longer exists; change to another one", 2)
        if error.filename is not None:
            return _failure(error, f"{error.filename}: {error.strerror}", 2)
        if error.errno in _DISK_ERRORS:
            return _failure(error, f"the output cannot be written: {error.strerror}", 2)
    text = f"{type(error).__name__}: {error}"
    return _failure(error, f"internal error, please report it (-v prints the traceback): {text}", 1)


def _failure(error: BaseException, text: str, code: int) -> Failure:
    return Failure(type=type(error).__name__, message=one_line(text), code=code)


def _is_folder_gone(error: OSError) -> bool:
    """Whether an error is that of ``os.getcwd`` in a folder that was removed."""
    if error.errno != errno.ENOENT or error.filename is not None:
        return False
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd does the same
    except FileNotFoundError:
        return True
    return False


def _missing(error: ImportError) -> str:
    """Return how to install what is missing; "" if it is unknown."""
    if "libGL" in str(error):  # opencv-python on a machine without a desktop
        hint = f"install it with: apt-get install libgl1, or: pip install {_HEADLESS}"
        return f"OpenCV cannot load a library: {error}; {hint}"
    module = (error.name or "").split(".")[0]
    if (extra := _EXTRAS.get(module)) is not None:
        return f"{why_not_imported(error, module)}; install it with: pip install 'ocr-trt[{extra}]'"
    return ""


def _usage_failure(error: Any) -> Failure:
    """Describe a usage error with the closest names that exist; see ``click.UsageError``."""
    text = error.message if hasattr(error, "possibilities") else error.format_message()
    # Remove pydantic's prefix, and typer's suggestion, which ours replaces.
    text = text.replace("Value error, ", "").split(". Did you mean")[0].rstrip(".")
    option = getattr(error, "option_name", None)
    if option in _DISPLAY and error.ctx is not None and error.ctx.parent is None:
        text += f". It comes after the command: ocr-trt COMMAND {option}"
    elif close := _close_names(error):
        text += f". Did you mean {' or '.join(close)}?"
    command = error.ctx.command_path if error.ctx is not None else "ocr-trt"
    return Failure(type="UsageError", message=one_line(text), code=2, hint=f"See: {command} --help")


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
