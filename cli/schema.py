"""``ocr-trt schema``: JSON Schemas of manifests, reports and specs."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer

from .printing import print_json
from .shared_options import DisplayOptions

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Document(str, Enum):
    """A kind of file that has a schema."""

    MANIFEST = "manifest"
    REPORT = "report"
    SPEC = "spec"


def json_schema(document: Document) -> dict[str, Any]:
    """Return the JSON Schema of manifest.json, of report.json or of a spec.

    Not every check can be expressed as a schema: that the channels of a shape fit its color, for
    example, or that a file is inside its bundle.
    """
    from pydantic import TypeAdapter

    from ..bench.results import Report
    from ..engines.manifest import Manifest
    from ..spec import ModelSpec

    kinds: dict[Document, Any] = {
        Document.MANIFEST: Manifest,
        Document.REPORT: Report,
        Document.SPEC: ModelSpec,
    }
    title = document.value.capitalize()
    # The schema of what is read: in it, fields with defaults are optional.
    properties = TypeAdapter(kinds[document]).json_schema(mode="validation")
    return {"$schema": DIALECT, "title": title, **properties}


def schema(
    document: Annotated[Document, typer.Argument(help="The kind of file.")],
    *,
    display: DisplayOptions,
) -> None:
    """Print the JSON Schema of a bundle's manifest.json, of bench's report.json or of a spec.

    The output is JSON with or without --json. An editor that supports JSON Schema can check a spec
    while you write it.

    Example: `ocr-trt schema spec > spec.schema.json`
    """
    print_json(json_schema(document))
