"""Paths as text: names of files need not be UTF-8, but many files and libraries require it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

Model = TypeVar("Model", bound=BaseModel)


def path_text(path: Path | str | bytes) -> str:
    """Return a path as text; bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def all_text(model: Model) -> Model:
    """Return data whose texts are UTF-8, so that it can be written; notes may contain any path."""
    try:
        model.model_dump_json()
    except PydanticSerializationError:
        return type(model).model_validate(_escaped(model.model_dump()))
    return model


def _escaped(data: Any) -> Any:
    if isinstance(data, str):
        # The bytes that Python replaced by surrogates, and surrogates that JSON contained.
        return data.encode("utf-8", "backslashreplace").decode()
    if isinstance(data, dict):
        return {_escaped(name): _escaped(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_escaped(value) for value in data]
    return data


def link_between(folder: Path, file: Path) -> str:
    """Return the address of a file for a page in ``folder``, with special characters escaped."""
    return quote(os.fsencode(os.path.relpath(file, folder)))


def is_text(path: Path | str | bytes) -> bool:
    """Whether a path is UTF-8, so that it can be stored and given to any library."""
    return path_text(path).encode() == os.fsencode(path)
