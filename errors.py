"""The exceptions that ocr-trt raises on purpose.

    OcrTrtError
    ├── UserError                exit 2: the input cannot be used; the message states what to do
    │   ├── InputFileError           an image, model or data file is missing, damaged or too large
    │   │   └── ImageTooLargeError       an image has too many pixels, or a document too many pages
    │   ├── OutOfMemoryError         a file requires more memory than there is
    │   ├── SpecError                a model spec is wrong
    │   ├── TargetMissingError       the libraries or the hardware of a target are missing
    │   └── OutputError              the result cannot be written
    ├── ConversionError          exit 3: the model uses something that cannot be converted
    │   └── BatchError               the model cannot be converted at a batch size
    ├── EngineBuildError         exit 3: a target refused the model, or failed with it
    ├── BudgetError              exit 4: the engine works, but is less accurate than its spec allows
    ├── RegressionError          exit 5: a measure exceeds a limit of ``bench --fail-on``
    └── ClosedError              Python only: a reader or engine was used after it was closed

Any other exception is a bug in ocr-trt: the command line asks the user to report it, and exits
with 1.
"""

from __future__ import annotations

from collections.abc import Iterable


class OcrTrtError(Exception):
    """Base of all errors raised on purpose. The command line exits with ``exit_code``."""

    exit_code = 1


class UserError(OcrTrtError):
    """The user's input cannot be used."""

    exit_code = 2


class InputFileError(UserError):
    """An image, model or data file is missing, damaged, too large or not allowed."""


class ImageTooLargeError(InputFileError):
    """An image has more pixels, or a document more pages, than allowed."""


class OutOfMemoryError(UserError):
    """There is not enough memory to read a file; the file itself may be valid."""


class SpecError(UserError):
    """A model spec has an unknown key, a wrong type, or contradicts its model."""


class TargetMissingError(UserError):
    """A requested target's libraries or hardware are missing."""


class OutputError(UserError):
    """The result cannot be written: no permission, no space, or other files are in its place."""


class ConversionError(OcrTrtError):
    """The model uses something that cannot be converted."""

    exit_code = 3


class BatchError(ConversionError):
    """The model cannot be converted at a batch size; it may be possible at another one."""


class EngineBuildError(OcrTrtError):
    """A target refused the model when it built an engine, or failed when it ran one."""

    exit_code = 3


class BudgetError(OcrTrtError):
    """The engine works, but loses more accuracy than its spec allows."""

    exit_code = 4


class RegressionError(OcrTrtError):
    """A measure exceeds a limit of ``bench --fail-on``."""

    exit_code = 5


class ClosedError(OcrTrtError):
    """A reader or engine was used after it was closed, or in a process forked after it was opened.

    A call that is running when another thread closes the object either ends normally or raises
    this error.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for an unknown name: a suggestion, and all known names."""
    from difflib import get_close_matches

    names = list(known)
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"there is no {kind} {name!r}; {hint}expected one of: {', '.join(names)}"
