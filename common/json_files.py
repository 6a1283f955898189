"""Read JSON files of any origin, with limits on their size and checks of their fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import InputFileError
from .read_file import read_limited

_Model = TypeVar("_Model", bound=BaseModel)


def read_json(path: Path, *, limit: int) -> Any:
    """Read a JSON file of at most ``limit`` bytes.

    Raises:
        InputFileError: it is not a regular file, too large, or not JSON.
    """
    return parse_json(read_limited(path, limit=limit, what="a JSON file"), str(path))


def parse_json(text: str | bytes, origin: str) -> Any:
    """Parse JSON of any origin; error messages name ``origin``.

    Raises:
        InputFileError: it is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # deep nesting exceeds Python's recursion limit
        raise InputFileError(f"{origin}: cannot be read as JSON: {error}") from None


def read_model(path: Path, model: type[_Model], *, limit: int) -> _Model:
    """Read a JSON file of at most ``limit`` bytes and check it against a pydantic model.

    Raises:
        InputFileError: as for :func:`read_json`, or a field is missing or wrong; names the field.
    """
    return checked(read_json(path, limit=limit), model, path)


def checked(data: Any, model: type[_Model], path: Path) -> _Model:
    """Check parsed JSON against a pydantic model; ``path`` is where it comes from.

    Raises:
        InputFileError: a field is missing or wrong; names the field.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise InputFileError(f"{path}: {field}: {first['msg']}") from None
