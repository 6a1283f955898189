"""``ocr-trt schema``: JSON Schemas of files, and of what commands print with --json."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import typer

from .printing import print_json
from .shared_options import DisplayOptions

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Document(str, Enum):
    """A kind of file or output that has a schema."""

    MANIFEST = "manifest"
    REPORT = "report"
    SPEC = "spec"
    PAIRS = "pairs"
    RESULT = "result"
    RUN = "run"
    BATCH = "batch"
    ERROR = "error"


def json_schema(document: Document) -> dict[str, Any]:
    """Return the JSON Schema of a file or of what a command prints.

    Not every check can be expressed as a schema: that the channels of a shape fit its color, for
    example, or that a file is inside its bundle.
    """
    from pydantic import TypeAdapter

    from ..bench.results import Report
    from ..builder.pairs import PairsReport
    from ..engines.manifest import Manifest
    from ..pipeline.read_result import ReadResult
    from ..spec import ModelSpec
    from .json_documents import BatchOutput, ErrorDocument, RunOutput

    kinds: dict[Document, Any] = {
        Document.MANIFEST: Manifest,
        Document.REPORT: Report,
        Document.SPEC: ModelSpec,
        Document.PAIRS: PairsReport,
        Document.RESULT: ReadResult,
        Document.RUN: RunOutput,
        Document.BATCH: BatchOutput,
        Document.ERROR: ErrorDocument,
    }
    title = document.value.capitalize()
    # Files are read: fields with defaults are optional. Output is only written.
    files = (Document.MANIFEST, Document.REPORT, Document.SPEC, Document.PAIRS)
    is_file = document in files
    mode: Literal["validation", "serialization"] = "validation" if is_file else "serialization"
    properties = TypeAdapter(kinds[document]).json_schema(mode=mode)
    return {"$schema": DIALECT, "title": title, **properties}


def schema(
    document: Annotated[Document, typer.Argument(help="The kind of file or output.")],
    *,
    display: DisplayOptions,
) -> None:
    """Print the JSON Schema of a file, or of what a command prints with --json.

    Files: `manifest` (manifest.json of a bundle), `report` (report.json of bench), `spec`,
    `pairs` (pairs.json of optimize). Output:
    `result` (one page, as `run --json` prints it and `ReadResult.to_dict()` returns it), `run` (all
    that `run --json` prints), `batch` (the summary of `batch --json`), `error` (any command with
    --json that fails).

    The output is JSON with or without --json. An editor that supports JSON Schema can check a spec
    while you write it.

    Example: `ocr-trt schema spec > spec.schema.json`
    """
    print_json(json_schema(document))
