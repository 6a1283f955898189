"""The part of JSON Schema that docs/schemas uses; other keywords raise an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


_CHECKS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "type": ("", _is),
    "const": ("", lambda value, rule: value == rule),
    "enum": ("", lambda value, rule: value in rule),
    "required": ("object", lambda value, rule: set(rule) <= value.keys()),
    "pattern": ("string", lambda value, rule: re.search(rule, value) is not None),
    "minLength": ("string", lambda value, rule: len(value) >= rule),
    "maxLength": ("string", lambda value, rule: len(value) <= rule),
    "minItems": ("array", lambda value, rule: len(value) >= rule),
    "maxItems": ("array", lambda value, rule: len(value) <= rule),
    "minimum": ("number", lambda value, rule: value >= rule),
    "maximum": ("number", lambda value, rule: value <= rule),
    "exclusiveMinimum": ("number", lambda value, rule: value > rule),
    "exclusiveMaximum": ("number", lambda value, rule: value < rule),
}
"""By keyword: the type of the values that it restricts ("": all), and its check."""
_INNER = {*("$ref", "properties", "additionalProperties", "propertyNames", "prefixItems", "items")}
_CHOICES = {"anyOf", "oneOf"}
_SILENT = {
    *("$schema", "$defs", "title", "description", "default", "format"),
    "discriminator",  # selects one schema of a oneOf
}


def problems(value: Any, schema: dict[str, Any]) -> list[str]:
    """Return one line per violation, with the place in the value."""
    return list(_problems(value, schema, schema, "$"))


def _problems(value: Any, schema: Any, root: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(schema, bool):
        yield from () if schema else (f"{at}: is not allowed",)
        return
    unknown = schema.keys() - _CHECKS.keys() - _INNER - _CHOICES - _SILENT
    if unknown:
        raise NotImplementedError(f"{at}: {sorted(unknown)}")
    for keyword in schema.keys() & _CHECKS.keys():
        kind, is_right = _CHECKS[keyword]
        if (not kind or _is(value, kind)) and not is_right(value, schema[keyword]):
            yield f"{at}: {value!r:.60} breaks {keyword} {schema[keyword]!r:.60}"
    for keyword in schema.keys() & _CHOICES:
        rules = schema[keyword]
        fitting = sum(not list(_problems(value, each, root, at)) for each in rules)
        if not fitting or (keyword == "oneOf" and fitting > 1):
            yield f"{at}: {value!r:.60} fits {fitting} of {keyword}"
    for place, inner, rule in _inner(value, schema, root):
        yield from _problems(inner, rule, root, at + place)


def _inner(
    value: Any, schema: dict[str, Any], root: dict[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield place, value and schema of each inner value."""
    if "$ref" in schema:
        yield "", value, root["$defs"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for name, item in value.items():
            yield f".{name}", name, schema.get("propertyNames", True)
            yield f".{name}", item, known.get(name, schema.get("additionalProperties", True))
    if isinstance(value, list):
        first = schema.get("prefixItems", [])
        for number, item in enumerate(value):
            rule = first[number] if number < len(first) else schema.get("items", True)
            yield f"[{number}]", item, rule
