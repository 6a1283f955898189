"""Shorten the messages of other libraries' exceptions, to include them in our own."""

from __future__ import annotations

import errno
import re

from ..errors import OutOfMemoryError

_LONGEST = 300  # characters
_TRACE = "in user code:"
"""How TensorFlow begins the message of an error in a function that it traces."""
_NAMED = re.compile(r"\w*(Error|Exception): ")
_STATED = (
    r"\x1b\[1m(.+?)\x1b\[0m",  # Keras prints what went wrong in a layer in bold
    r"Exception encountered: (?!.*Exception encountered: )([^\n]+)",  # the innermost
    r"\n([^\n]+)\n\s*\[\[\{\{node ",  # TensorFlow, when it runs a graph
)
"""Patterns of messages that state the reason behind text that says only where."""

_NO_MEMORY = re.compile(
    r"\bbad_alloc\b|out of memory|cannot allocate memory|can't alloc\b|failed to allocate"
    r"|insufficient memory|unable to allocate|oom when allocating|can't start new thread",
    re.IGNORECASE,
)
"""What libraries write if there is not enough memory; few of them raise MemoryError."""

_CAUSES = (
    # OpenVINO: "-- No conversion rule found for operations: Det-20, my.Foo"; before 2026 "OpenVINO
    # does not support the following ONNX operations: Det"
    (r"No conversion rule found for operations: ([^\n]+)", "it has no op {}"),
    (r"does not support the following ONNX operations: ([^\n]+)", "it has no op {}"),
    ("(?i:" + _NO_MEMORY.pattern + ")", "there is not enough memory"),
    # onnxruntime
    (r"(\S+)\(-?\d+\) is not a registered function/op", "it has no op {}"),
    (r"Could not find an implementation for (\w+)\(\d+\)", "it has no CPU kernel for {}"),
    (r"\[(?:Shape|Type)InferenceError\]\s*([^\n]+)", "{}"),
    # TensorRT: "... Error Code 4: Shape Error (reshape changes volume. In operator() at /_src/...)"
    (r"Could not find any implementation for node ([^\s)]+)", "it has no kernel for {}"),
    (r"Error Code \d+: [\w ]+\((.*?)(?:\.? In \S+ at /|\)\s*$|\)\n)", "{}"),
    (r"Plugin not found", "it has no such op"),
    (r"^(?:false|0)$", "it has no such op, or not in this form"),
    (r'&&\s*"([^"]+)"', "{}"),
)
"""Patterns of messages that state a cause, and the cause in our words."""

_NOISE = re.compile(
    r"^(Exception from|Check '|While validating|FrontEnd API|Model wasn't|Summary|--|To facilitate"
    r"|Errors during ONNX"
    r"|\[checkMacros|Invalid Node|Traceback|File \")"
)
"""Beginnings of lines that state a place in the library's own code."""
_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of any library means that there is not enough memory."""
    if isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    ):
        return True
    return _NO_MEMORY.search(str(error)) is not None


def check_memory(error: BaseException, what: object) -> None:
    """Raise an error that does not blame a file if the memory was too small to read it.

    Args:
        error: raised by the library that read the file.
        what: the file.

    Raises:
        OutOfMemoryError: ``error`` means that there is not enough memory.
    """
    if is_out_of_memory(error):
        raise OutOfMemoryError(
            f"{what}: there is not enough memory to read it; end other programs, or use a smaller "
            "file"
        ) from error


def why_not_imported(error: ImportError, package: str) -> str:
    """Return why a package cannot be imported: it is not installed, or one of its libraries fails.

    Args:
        error: raised by its import.
        package: its name as its authors write it.
    """
    if isinstance(error, ModuleNotFoundError):
        module = (error.name or package).partition(".")[0]
        missing = "it" if module == package.lower() else f"its package {module}"
        return f"this needs {package}, and {missing} is not installed"
    return f"this needs {package}, which cannot be imported: {error}"


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or the name of its type if it has none.

    If TensorFlow puts a list of code lines in front of a message, it is the line behind them, which
    begins with the type of the error. Of an error in a Keras layer or a TensorFlow node, it is the
    reason, not the line that only states where it happened.
    """
    for pattern in _STATED:
        if found := re.search(pattern, str(error), re.DOTALL):
            return " ".join(found[1].split())[:_LONGEST]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # OpenVINO states the place in its own code before the reason.
    lines = [line for line in lines if not line.startswith("Exception from ")] or lines
    if not lines:
        return type(error).__name__
    named = [line for line in lines if _NAMED.match(line)] if lines[0] == _TRACE else []
    return (named or lines)[0][:_LONGEST]


def cause(text: str) -> str:
    """Return the cause that the message of a runtime or parser states, in one line."""
    for pattern, words in _CAUSES:
        found = re.search(pattern, text.strip(), re.MULTILINE)
        if found is not None:
            return words.format(*(part.strip(" .") for part in found.groups()))[:_LONGEST]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    stated = [line for line in lines if not _NOISE.match(line)]
    chosen = next(iter(stated or lines), "it gives no reason")
    return _PREFIX.sub("", chosen)[:_LONGEST].rstrip(" .")
