"""A model on the command line: a spec file, or a model file described by options."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ..errors import InputFileError, SpecError, UserError
from .choices import RoleChoice

if TYPE_CHECKING:
    from ..common.progress import Reporter
    from ..spec import ModelSpec, Role, SourceSpec

_MAX_CHARSET_BYTES = 1 << 20
# The last colon separates the shape: names such as "image:0" contain colons of their own.
_INPUT = re.compile(r"^(?P<name>.+?)(:(?P<dims>\d+x\d+x\d+x\d+))?$")

_SIZES = re.compile(r":\d*x[\dx]*$")
"""The end of a name that is meant to be a shape."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The description of a model that has no spec file."""

    PANEL: ClassVar[str] = "Model files without a spec"

    role: Annotated[RoleChoice | None, typer.Option(help="What the model does.")] = None
    input: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:1x640x640x3]", help="Name of the image input, and its shape if open."
        ),
    ] = None
    constant: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE|FILE.npy", help="Value of a further input; repeatable."),
    ] = None
    mean: Annotated[
        str | None, typer.Option(help="Mean of the pixels: 127.5, or one per channel: 123,117,104.")
    ] = None
    scale: Annotated[
        str | None, typer.Option(help="The model's input is (pixel - mean) * scale.")
    ] = None
    charset: Annotated[
        Path | None,
        typer.Option(
            help="Text file with the characters in the order of the classes, one per line."
        ),
    ] = None
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.yaml",
            help="Family of the model: craft, doctr, east, keras-ocr or ppocr. Fills in what the "
            "model's file does not state.",
        ),
    ] = None
    signature: Annotated[str | None, typer.Option(help="Name of the SavedModel's signature.")] = (
        None
    )
    tag: Annotated[
        list[str] | None,
        typer.Option(help="Tag of the graph, for a SavedModel with several graphs; repeatable."),
    ] = None
    custom: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:CLASS", help="A custom layer of a Keras file; repeatable."),
    ] = None
    allow_lambda: Annotated[
        bool,
        typer.Option(
            "--allow-lambda",
            help="Run the Python code in a Keras file's Lambda layers. Only for files you trust.",
        ),
    ] = False


def check_exists(path: Path) -> None:
    """Check that a path exists.

    Raises:
        UserError: it does not.
    """
    if not path.exists():
        raise UserError(missing(path))


def missing(path: Path) -> str:
    """Return the message for a path that does not exist, with the closest name that does."""
    from difflib import get_close_matches

    text = f"{path}: no such file or folder"
    with suppress(OSError):  # no such folder either, or it cannot be listed
        names = [each.name for each in path.parent.iterdir()]
        if close := get_close_matches(path.name, names, n=1, cutoff=0.75):
            text += f"; did you mean {path.with_name(close[0])}?"
    return text


def is_spec(path: Path) -> bool:
    """Whether a path names a spec file."""
    return path.suffix.lower() in (".yaml", ".yml")


def load_spec_file(path: Path) -> ModelSpec:
    """Load the spec at a path that a user gave.

    Raises:
        UserError: there is nothing at the path.
        InputFileError, SpecError: the file cannot be used.
    """
    from ..spec import load_spec

    check_exists(path)
    return load_spec(path)


def load_or_draft_spec(
    path: Path, options: ModelOptions, reporter: Reporter | None = None
) -> ModelSpec:
    """Load a spec file, or draft a spec for a model file from its signature and the options.

    Args:
        path: a spec file or a model.
        options: the description of a model file; none may be given for a spec file.
        reporter: receives a note on each part of the model that the spec leaves out.

    Raises:
        UserError: options for a spec file, or a model without ``--role``.
        InputFileError, SpecError: the file cannot be used.
    """
    check_exists(path)
    if is_spec(path):
        if options != ModelOptions():
            raise UserError(
                f"{path} is a spec: put role, input, mean, scale and the like in the file, not on "
                "the command line"
            )
        return load_spec_file(path)
    if options.role is None:
        raise UserError(
            f"{path} is a model, not a spec: give --role detector, recognizer or classifier"
        )
    from ..convert.draft import draft_spec
    from ..convert.hints import Hints
    from ..convert.preset import PresetRole, load_preset

    role: Role = options.role.value
    hints = Hints(
        source=_source(path, options),
        input=_name_and_shape(options.input) if options.input else None,
        mean=_numbers(options.mean, "--mean"),
        scale=_numbers(options.scale, "--scale"),
        charset=read_charset(options.charset) if options.charset else None,
        preset=load_preset(options.preset).of(role) if options.preset else PresetRole(),
    )
    return draft_spec(role, hints, reporter)


def _source(path: Path, options: ModelOptions) -> SourceSpec:
    from pydantic import ValidationError

    from ..spec import SourceSpec

    # Without --signature, the default of SourceSpec applies.
    signature = {} if options.signature is None else {"signature": options.signature}
    custom = tuple(options.custom or ())
    try:
        return SourceSpec(
            path=path,
            custom=custom,
            tags=tuple(options.tag or ()),
            allow_lambda=options.allow_lambda,
            constants=dict(map(_constant, options.constant or ())),
            **signature,
        )
    except ValidationError:
        raise SpecError(f"--custom {' '.join(custom)}: expected module:Class") from None


def _numbers(text: str | None, option: str) -> tuple[float, ...]:
    """Parse ``1,2,3``."""
    if not text:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"{option} {text!r}: expected a number, or numbers separated by commas"
        ) from None


def _constant(text: str) -> tuple[str, float | Path]:
    """Parse ``NAME=VALUE`` or ``NAME=FILE.npy``."""
    name, _, value = text.rpartition("=")
    if not name or not value:
        raise UserError(f"--constant {text!r}: expected NAME=VALUE or NAME=FILE.npy")
    try:
        number = float(value)
    except ValueError:
        if not value.endswith(".npy"):
            raise UserError(
                f"--constant {text!r}: {value!r} is neither a number nor a .npy file"
            ) from None
        check_exists(Path(value))
        return name, Path(value)
    if not math.isfinite(number):
        raise UserError(f"--constant {text!r}: expected a finite number")
    return name, number


def _name_and_shape(text: str) -> tuple[str, tuple[int, int, int, int] | None]:
    """Parse ``image`` or ``image:1x640x640x3``."""
    match = _INPUT.match(text)
    is_wrong = match is None or (match["dims"] is None and _SIZES.search(text))
    if match is None or is_wrong:
        raise UserError(f"--input {text!r}: expected NAME or NAME:1x640x640x3")
    if match["dims"] is None:
        return text, None
    a, b, c, d = map(int, match["dims"].split("x"))
    return match["name"], (a, b, c, d)


def read_charset(path: Path) -> str:
    """Read characters: one per line, or all in one line.

    Raises:
        InputFileError: the file cannot be read, or has several lines of which one does not hold
            exactly one character.
    """
    from ..common.read_file import read_limited

    content = read_limited(path, limit=_MAX_CHARSET_BYTES, what="a charset (a text file)")
    try:
        # U+FEFF is the byte order mark that some editors on Windows write.
        # Not splitlines: a charset may contain characters that it splits at, such as U+2028.
        lines = content.decode("utf-8").removeprefix("\ufeff").split("\n")
    except UnicodeDecodeError as error:
        raise InputFileError(f"{path}: cannot be read as a charset: {error}") from None
    lines = [line.removesuffix("\r") for line in lines]
    if lines[-1] == "":  # after the last line end
        del lines[-1]
    wrong = next((i for i, line in enumerate(lines) if len(line) != 1), None)
    if wrong is not None and len(lines) > 1:
        raise InputFileError(
            f"{path}: line {wrong + 1} is {lines[wrong]!r}; expected one character in each line"
        )
    return "".join(lines)
