"""Reads and writes specs as YAML files; paths in a spec are relative to its file."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from ..common.read_file import read_limited
from ..common.safe_yaml import dump_yaml, load_yaml
from ..common.validation_text import explained
from ..errors import InputFileError, SpecError
from .classifier_spec import ClassifierSpec
from .detector_spec import OUTPUTS, DetectorSpec
from .recognizer_spec import RecognizerSpec

LARGEST_SPEC = 1 << 18  # bytes

Role = Literal["detector", "recognizer", "classifier"]
_MODELS: dict[str, type[BaseModel]] = {
    "detector": DetectorSpec,
    "recognizer": RecognizerSpec,
    "classifier": ClassifierSpec,
}
ModelSpec = Annotated[DetectorSpec | RecognizerSpec | ClassifierSpec, Field(discriminator="role")]
# Created once, because creating it builds the validators of all models.
_ADAPTER: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)


def spec_from_dict(data: Any, origin: str = "spec") -> ModelSpec:
    """Validate a spec given as plain Python data.

    Raises:
        SpecError: a key is unknown or missing, or a type or value is wrong; names ``origin``.
    """
    role = data.get("role") if isinstance(data, dict) else None
    # Checked before pydantic, which selects the model by the role.
    if role not in get_args(Role):
        known = ", ".join(get_args(Role))
        close = get_close_matches(str(role), get_args(Role), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise SpecError(f"{origin}: role: expected one of {known}, got {reprlib.repr(role)}{hint}")
    try:
        return _ADAPTER.validate_python(data)
    except ValidationError as error:
        raise SpecError(f"{origin}: {explained(error, _MODELS, OUTPUTS)}") from None


def load_spec(path: Path | str) -> ModelSpec:
    """Read a spec; a relative ``source.path`` becomes relative to the file's folder.

    Raises:
        InputFileError: the file is missing, unreadable or over 256 KiB.
        SpecError: the file is not a valid spec.
    """
    path = Path(path)
    content = read_limited(path, limit=LARGEST_SPEC, what="a spec (.yaml)")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputFileError(f"{path}: cannot be read as a spec: {error}") from None
    try:
        data = load_yaml(text)
    except ValueError as error:
        raise SpecError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise SpecError(
            f"{path}: expected a mapping with keys like role, source and input, "
            f"got {type(data).__name__}"
        )
    spec = spec_from_dict(data, str(path))
    return spec_seen_from(spec, path.parent)


def spec_seen_from(spec: ModelSpec, folder: Path) -> ModelSpec:
    """Return a spec of ``folder`` with its source path relative to the current folder."""
    return _with_files(spec, lambda path: folder / path)


def spec_beside(spec: ModelSpec, folder: Path) -> ModelSpec:
    """Return a spec to write into ``folder``, with its source path relative to that folder."""

    # Resolved first: relpath compares names only, and ".." behind a link leads elsewhere.
    def beside(path: Path) -> Path:
        return Path(os.path.relpath(path.resolve(), folder.resolve()))

    return _with_files(spec, beside)


def _with_files(spec: ModelSpec, place: Callable[[Path], Path]) -> ModelSpec:
    """Return a spec with another path of each file that its source names."""
    source = spec.source
    constants = {
        name: place(value) if isinstance(value, Path) else value
        for name, value in source.constants.items()
    }
    update = {"path": place(source.path), "constants": constants}
    return spec.model_copy(update={"source": source.model_copy(update=update)})


def with_max_batch(spec: ModelSpec, max_batch: int) -> ModelSpec:
    """Return a spec with another ``input.max_batch``."""
    return spec.model_copy(update={"input": spec.input.model_copy(update={"max_batch": max_batch})})


def dump_spec(spec: ModelSpec) -> str:
    """Return the spec as YAML."""
    return dump_yaml(spec.model_dump(mode="json", exclude_none=True))
