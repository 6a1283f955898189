"""The columns of the result files, and the Arrow types of what ``run --json`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from ..pipeline.text_lines import TextLine

_SIMPLE = {
    "string": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
}


def result_schema(*, has_polygons: bool = False) -> pa.Schema:
    """Return the schema of the result files: one row per page of an image.

    ``lines`` has the fields that a line has in the output of ``ocr-trt run --json``. They come from
    the JSON Schema of :class:`.TextLine`, so that both cannot differ. ``has_polygons``: whether the
    detector returns polygons.
    """
    line = TypeAdapter(TextLine).json_schema(mode="serialization")
    if not has_polygons:
        del line["properties"]["polygon"]
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            ("path", pa.string()),
            pa.field("page", pa.int64(), nullable=False),
            ("pages", pa.int64()),
            ("width", pa.int64()),
            ("height", pa.int64()),
            ("text", pa.string()),
            ("lines", pa.list_(arrow_type(line, line.get("$defs", {})))),
            ("warnings", pa.list_(pa.string())),
            ("error", pa.string()),
            ("error_type", pa.string()),
        ]
    )


def arrow_type(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> pa.DataType:
    """Return the Arrow type of values that a JSON Schema describes.

    Args:
        schema: the schema of one value.
        definitions: the schemas that it may refer to, by name.

    Raises:
        ValueError: the schema has no Arrow type, such as a choice between a text and a number.
    """
    if "$ref" in schema:
        return arrow_type(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in schema:  # a value or null; all columns accept null
        (schema,) = (each for each in schema["anyOf"] if each.get("type") != "null")
        return arrow_type(schema, definitions)
    kind = schema.get("type")
    if kind == "array":
        items = schema["items"] if "items" in schema else schema["prefixItems"][0]
        return pa.list_(arrow_type(items, definitions))
    if kind == "object" and "properties" in schema:
        fields = schema["properties"].items()
        return pa.struct([(name, arrow_type(each, definitions)) for name, each in fields])
    if "enum" in schema or "const" in schema:
        kind = kind or "string"
    if kind not in _SIMPLE:
        raise ValueError(f"no Arrow type for the JSON Schema {dict(schema)}")
    return _SIMPLE[kind]
