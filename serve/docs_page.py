"""The page at ``/docs``: the OpenAPI description as plain HTML, without requests to other hosts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from .problems import KINDS

_TEMPLATE, _STYLE = "docs_page.jinja", "docs_page.css"
_FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A method of a route, as the page shows it."""

    method: str
    path: str
    text: str
    parameters: list[dict[str, Any]]
    bodies: list[str]
    answers: list[tuple[str, str]]
    """Statuses of success and their descriptions."""
    errors: list[str]
    """Statuses of errors."""

    @property
    def anchor(self) -> str:
        """The id of its section."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.method}{self.path}".lower()).strip("-")


def docs_html(openapi: dict[str, Any]) -> tuple[str, str]:
    """Return the HTML of an OpenAPI description, and the style inside it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["marked"] = _marked
    style = (_FOLDER / _STYLE).read_text("utf-8")
    html = environment.get_template(_TEMPLATE).render(
        info=openapi["info"],
        style=style,
        operations=list(_operations(openapi)),
        kinds=KINDS,
        schemas={
            name: json.dumps(schema, indent=2)
            for name, schema in sorted(openapi["components"]["schemas"].items())
        },
    )
    return html, style


def _operations(openapi: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"].items()
            yield Operation(
                method=method.upper(),
                path=path,
                text=operation.get("description", ""),
                parameters=operation.get("parameters", []),
                bodies=list(operation.get("requestBody", {}).get("content", {})),
                answers=[
                    (status, answer["description"]) for status, answer in answers if status < "400"
                ],
                errors=[status for status, _ in answers if status >= "400"],
            )


def _marked(text: str) -> Markup:
    """Return escaped HTML: words between backticks are code, and an empty line ends a paragraph."""
    paragraphs = (
        Markup("").join(
            Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
            for number, part in enumerate(paragraph.split("`"))
        )
        for paragraph in text.split("\n\n")
    )
    return Markup("</p><p>").join(paragraphs)
