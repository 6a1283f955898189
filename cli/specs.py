"""Specs from the command line: a spec file, or a model file with options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..errors import UserError

if TYPE_CHECKING:
    from ..engines.manifest import Precision
    from ..spec import DetectorSpec, RecognizerSpec, Role

CAPABILITY = re.compile(r"\d{1,2}\.\d")
"""A compute capability, such as 8.6 or 12.0."""

_INPUT = re.compile(r"^(?P<name>.+):(?P<dims>\d+x\d+x\d+x\d+)$")


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What describes a model that has no spec file."""

    role: str | None = None
    input: str | None = None
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    custom: tuple[str, ...] = ()

    @property
    def given(self) -> bool:
        """Whether any of them was used."""
        return bool(self.role or self.input or self.mean or self.scale or self.custom)


def is_spec(path: Path) -> bool:
    """Whether a path names a spec file."""
    return path.suffix.lower() in (".yaml", ".yml")


def numbers(text: str | None, option: str) -> tuple[float, ...]:
    """Read "1,2,3".

    Raises:
        UserError: that is not what it says.
    """
    if not text:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"{option} {text!r}: expected numbers with commas between") from None


def parse_input(text: str) -> tuple[str, tuple[int, int, int, int]]:
    """Read "image:1x640x640x3" as name and shape.

    Raises:
        UserError: that is not what it says.
    """
    match = _INPUT.match(text)
    if match is None:
        raise UserError(f"--input {text!r}: expected NAME:1x640x640x3")
    a, b, c, d = map(int, match["dims"].split("x"))
    return match["name"], (a, b, c, d)


def spec_from_path(path: Path, options: ModelOptions) -> DetectorSpec | RecognizerSpec:
    """Load a spec file, or draft a spec for a model file from its signature and the options.

    Raises:
        UserError: options for a spec file, or a model without ``--role``.
        InputFileError, SpecError: the file cannot be used.
    """
    from ..convert.draft import draft_spec
    from ..spec import load_spec

    if is_spec(path):
        if options.given:
            raise UserError(f"{path} is a spec: put role, input, mean and scale there")
        return load_spec(path)
    if options.role is None:
        raise UserError(f"{path} is a model, not a spec: give --role detector or --role recognizer")
    name_and_shape = parse_input(options.input) if options.input else None
    return draft_spec(
        path,
        role_from(options.role),
        given=name_and_shape,
        mean=options.mean,
        scale=options.scale,
        custom=options.custom,
    )


def spec_paths(paths: Sequence[Path]) -> list[Path]:
    """Check that paths exist at all.

    Raises:
        UserError: one does not.
    """
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder")
    return list(paths)


def role_from(text: str) -> Role:
    """Read a role.

    Raises:
        UserError: there is no such role.
    """
    if text == "detector":
        return "detector"
    if text == "recognizer":
        return "recognizer"
    raise UserError(f"no role {text!r}; there are: detector, recognizer")


def precision_from(text: str) -> Precision:
    """Read a precision.

    Raises:
        UserError: there is no such precision.
    """
    from ..engines.manifest import Precision

    known: tuple[Precision, ...] = get_args(Precision)
    for precision in known:
        if text == precision:
            return precision
    raise UserError(f"no precision {text!r}; there are: {', '.join(known)}")


def capabilities_from(texts: Sequence[str]) -> tuple[str, ...]:
    """Read compute capabilities such as 8.6.

    Raises:
        UserError: that is not what one says.
    """
    for text in texts:
        if not CAPABILITY.fullmatch(text):
            raise UserError(f"--compute-capability {text!r}: expected one such as 8.6 or 12.0")
    return tuple(dict.fromkeys(texts))


def method_from(text: str) -> str:
    """Read the name of a calibration method.

    Raises:
        UserError: there is no such method.
    """
    from ..calibration.methods import METHODS

    if text not in METHODS:
        raise UserError(f"no method {text!r}; there are: {', '.join(METHODS)}")
    return text
