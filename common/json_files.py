"""Read JSON files of any origin, with limits on their size and checks of their fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import InputFileError
from .limits import LARGEST_JSON_VALUES, LARGEST_NESTING, check_limit
from .read_file import read_limited

_Model = TypeVar("_Model", bound=BaseModel)
_ADVICE = "check which program wrote this file"


def read_json(path: Path, *, limit: int, values: int = LARGEST_JSON_VALUES) -> Any:
    """Read a JSON file of at most ``limit`` bytes and ``values`` values.

    Raises:
        InputFileError: it is not a regular file, too large, not JSON, or nested too deeply.
    """
    text = read_limited(path, limit=limit, what="a JSON file")
    return parse_json(text, str(path), values=values)


def parse_json(text: str | bytes, origin: str, *, values: int = LARGEST_JSON_VALUES) -> Any:
    """Parse JSON of any origin with at most ``values`` values; error messages name ``origin``.

    Raises:
        InputFileError: it is not JSON, is nested too deeply, or has too many values.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise InputFileError(f"{origin}: cannot be read as JSON: {error}") from None
    except RecursionError:  # the parser's own limit, about ten times as high as ours
        raise InputFileError(
            f"{origin}: cannot be read as JSON: its lists and objects are nested too deeply for "
            f"the parser, but at most {LARGEST_NESTING} levels are allowed; {_ADVICE}"
        ) from None
    _check_size(data, origin, values)
    return data


def _check_size(data: Any, origin: str, allowed: int) -> None:
    """Check nesting and number of values: code that walks through the data may use recursion.

    Raises:
        InputFileError: one is over its limit.
    """
    level, depth, count = [data], 0, 1
    # Level by level, without recursion.
    while containers := [value for value in level if isinstance(value, (dict, list))]:
        depth += 1
        what = "or more levels of lists and objects"
        check_limit(origin, what, depth, LARGEST_NESTING, _ADVICE)
        level = [
            value
            for each in containers
            for value in (each.values() if isinstance(each, dict) else each)
        ]
        count += len(level)
        check_limit(origin, "values", count, allowed, _ADVICE)


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
