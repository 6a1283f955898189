"""Specs from the command line: a spec file, or a model file with options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..errors import InputFileError, SpecError, UserError

if TYPE_CHECKING:
    from ..calibration.calibrator import WeightCorrection
    from ..calibration.images import CalibrationSet
    from ..common.progress import Reporter
    from ..engines.manifest import Precision
    from ..spec import DetectorSpec, RecognizerSpec, Role, SourceSpec

_LARGEST_CHARSET = 1 << 20  # bytes
_INPUT = re.compile(r"^(?P<name>.+):(?P<dims>\d+x\d+x\d+x\d+)$")


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What describes a model that has no spec file."""

    role: str | None = None
    input: str | None = None
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    custom: tuple[str, ...] = ()
    signature: str | None = None
    tags: tuple[str, ...] = ()
    allow_lambda: bool = False
    charset: Path | None = None

    @property
    def given(self) -> bool:
        """Whether any of them was used."""
        return self != ModelOptions()


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


def spec_from_path(
    path: Path, options: ModelOptions, reporter: Reporter | None = None
) -> DetectorSpec | RecognizerSpec:
    """Load a spec file, or draft a spec for a model file from its signature and the options.

    ``reporter`` is told what the draft leaves out of the model.

    Raises:
        UserError: options for a spec file, or a model without ``--role``.
        InputFileError, SpecError: the file cannot be used.
    """
    from ..convert.draft import Hints, draft_spec
    from ..spec import load_spec

    if is_spec(path):
        if options.given:
            raise UserError(f"{path} is a spec: put role, input, mean and scale there")
        return load_spec(path)
    if options.role is None:
        raise UserError(f"{path} is a model, not a spec: give --role detector or --role recognizer")
    hints = Hints(
        source=_source(path, options),
        input=parse_input(options.input) if options.input else None,
        mean=options.mean,
        scale=options.scale,
        charset=read_charset(options.charset) if options.charset else None,
    )
    return draft_spec(role_from(options.role), hints, reporter)


def _source(path: Path, options: ModelOptions) -> SourceSpec:
    from pydantic import ValidationError

    from ..spec import SourceSpec

    signature = {} if options.signature is None else {"signature": options.signature}
    try:
        return SourceSpec(
            path=path,
            custom=options.custom,
            tags=options.tags,
            allow_lambda=options.allow_lambda,
            **signature,
        )
    except ValidationError:
        raise SpecError(f"--custom {' '.join(options.custom)}: expected module:Class") from None


def read_charset(path: Path) -> str:
    """Read characters: one per line, or all in one line.

    Raises:
        InputFileError: it cannot be read, or a line holds several of many lines' characters.
    """
    try:
        if path.stat().st_size > _LARGEST_CHARSET:
            raise InputFileError(f"{path}: a charset is at most {_LARGEST_CHARSET} bytes long")
        lines = path.read_text("utf-8").removeprefix("\ufeff").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path}: cannot be read as a charset: {error}") from None
    lines = [line.removesuffix("\r") for line in lines]
    if lines[-1] == "":
        del lines[-1]
    wrong = next((i for i, line in enumerate(lines) if len(line) != 1), None)
    if wrong is not None and len(lines) > 1:
        raise InputFileError(
            f"{path}: line {wrong + 1} is {lines[wrong]!r}; expected one character in each line"
        )
    return "".join(lines)


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


def method_from(text: str | None, precision: Precision = "int8") -> str:
    """Read the name of a calibration method; without one it is the precision's own.

    Raises:
        UserError: there is no such method.
    """
    from ..calibration.methods import METHODS

    text = text or ("auto" if precision == "best" else "mse")
    if text not in METHODS and text != "auto":
        raise UserError(f"no method {text!r}; there are: auto, {', '.join(METHODS)}")
    return text


def corrections_from(texts: Sequence[str]) -> tuple[WeightCorrection, ...]:
    """Read the names of corrections.

    Raises:
        UserError: there is no such correction.
    """
    from ..calibration.calibrator import WEIGHT_CORRECTIONS

    wrong = [text for text in texts if text not in WEIGHT_CORRECTIONS]
    if wrong:
        raise UserError(f"no correction {wrong[0]!r}; there are: {', '.join(WEIGHT_CORRECTIONS)}")
    return tuple(correction for correction in WEIGHT_CORRECTIONS if correction in texts)


def calibration_from(
    folder: Path,
    spec: DetectorSpec | RecognizerSpec,
    detector: Path | None,
    reporter: Reporter,
    *,
    skip_bad: bool = False,
    is_trusted: bool = False,
) -> CalibrationSet:
    """Open a folder of calibration images; a recognizer's lines are cut by ``detector``, if any.

    ``is_trusted``: of the detector's bundle, see :class:`Bundle`.

    Raises:
        InputFileError: folder or bundle cannot be used, or there is nothing in it.
        SpecError: the bundle is no detector.
    """
    from ..calibration.images import load_calibration

    if detector is None or spec.role == "detector":
        return load_calibration(folder, spec, skip_bad=skip_bad)
    from ..builder.calibrate import detected_crops
    from ..engines.bundle import load_bundle
    from ..engines.engine import Engine
    from ..ocr.dataset import load_dataset

    with Engine.from_bundle(load_bundle(detector, is_trusted=is_trusted)) as engine:
        crops = detected_crops(load_dataset(folder), engine, reporter)
    return load_calibration(folder, spec, crops=crops, skip_bad=skip_bad)
