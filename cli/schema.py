"""``ocr-trt schema``: what manifests, reports and specs look like, for programs that read them."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer

from .console import print_json
from .options import Json, Verbose

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Document(str, Enum):
    """What there are schemas of."""

    MANIFEST = "manifest"
    REPORT = "report"
    SPEC = "spec"


def json_schema(document: Document) -> dict[str, Any]:
    """Return the JSON Schema of manifest.json, of report.json or of a spec as YAML says it.

    It says what a file may hold, not all that is checked: that the channels of a shape fit its
    color, or that a file is inside its bundle, no schema says.
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
    found = TypeAdapter(kinds[document]).json_schema(mode="validation")
    return {"$schema": DIALECT, "title": title, **found}


def schema(
    document: Annotated[Document, typer.Argument(help="Of what.")],
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Print the JSON Schema of a bundle's manifest.json, of bench's report.json or of a spec.

    It is JSON with or without --json. An editor that knows the schema of specs checks them while
    they are written.

    Example: `ocr-trt schema spec > spec.schema.json`
    """
    print_json(json_schema(document))


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(schema)
