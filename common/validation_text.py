"""Explain pydantic's validation errors to the author of a file."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError


def explained(
    error: ValidationError,
    models: Mapping[str, type[BaseModel]],
    parts: Mapping[str, type[BaseModel]] | None = None,
) -> str:
    """Return what is wrong in the data, by field, with the value that was found.

    ``models``: the models of a union, by the value of its discriminator; ``parts``: those of
    a union inside them, whose values must differ from the names of all fields.
    """
    inner = parts or {}
    lines = []
    for item in error.errors():
        # pydantic adds the value of the discriminator to the location; it is no key of the file.
        place = ".".join(
            str(part) for part in item["loc"] if part not in models and part not in inner
        )
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"unknown key{_suggestion(item['loc'], models, inner)}"
        elif item["type"] == "string_pattern_mismatch" and item["loc"][-1] == "name":
            message = (
                f"{reprlib.repr(item['input'])} cannot be a name; expected 1 to 64 letters, digits "
                "and the characters . _ -, the first a letter or digit"
            )
        elif item["type"] not in ("missing", "value_error"):
            # The value is untrusted and may be long; reprlib shortens it.
            message += f", got {reprlib.repr(item['input'])}{_similar(item)}"
        lines.append(f"{place or 'spec'}: {message}")
    return "; ".join(lines)


def _similar(item: Any) -> str:
    """Suggest the value that a wrong one of a fixed set may stand for; "" if none is similar."""
    facts = item.get("ctx", {})
    # pydantic lists the values in one text: "'a', 'b' or 'c'".
    known = re.findall(r"'(.*?)'", f"{facts.get('expected', '')} {facts.get('expected_tags', '')}")
    given = facts.get("tag", item["input"])
    # Without regard to case: "nhwc" stands for "NHWC".
    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(str(given).lower(), by_lower, n=1)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


def _suggestion(
    location: tuple[int | str, ...],
    models: Mapping[str, type[BaseModel]],
    inner: Mapping[str, type[BaseModel]],
) -> str:
    """Suggest a known key for an unknown one; "" if none is similar. ``location[0]``: the model."""
    # Follow the location through nested models to the one that has the unknown key.
    known: Any = models[str(location[0])]
    for part in location[1:-1]:
        known = inner.get(str(part)) or known.model_fields[part].annotation
    close = get_close_matches(str(location[-1]), known.model_fields, n=1)
    return f"; did you mean {close[0]}?" if close else ""
