"""The text of one image as an object and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .clock import Stage
from .image_search import ImageSearch
from .text_lines import JSON_CONFIG, TextLine


@dataclass(frozen=True, kw_only=True)
class ReadResult:
    """The text of one image, or of one page of a file.

    Results are values: they are equal if their lines and the sizes of their images are equal,
    whatever the file, page and times are. They can be hashed and pickled.

    >>> import ocr_trt
    >>> with ocr_trt.open_reader("bundles/detector", "bundles/recognizer") as reader:
    ...     result = reader.read("receipt.png")
    >>> result.width, result.height, len(result.lines)
    (160, 96, 2)
    >>> result.to_dict()["lines"][1]["text"]
    'THANK YOU'
    >>> result.to_json()[:40]
    '{"file": "receipt.png", "page": 1, "page'
    """

    __pydantic_config__ = JSON_CONFIG

    file: str | None = field(default=None, compare=False)
    """The path of the image, if it came from a file."""
    page: int = field(default=1, compare=False)
    """Which page of the file it is, counted from 1."""
    pages: int = field(default=1, compare=False)
    """How many pages the file has."""
    width: int
    """Width of the upright image in pixels."""
    height: int
    """Height of the upright image in pixels."""
    lines: tuple[TextLine, ...]
    """The lines of text in reading order."""
    search: ImageSearch | None = field(default=None, compare=False)
    """How the detector searched the image; None: the whole image is one line."""
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """Reasons why text may be missing, such as an image that was shrunk too much."""
    seconds: Mapping[Stage, float] = field(default_factory=dict, compare=False, repr=False)
    """How long each stage took, in seconds; other reads at the same time make it longer."""

    @property
    def text(self) -> str:
        """The texts of all lines, one per line."""
        return "\n".join(line.text for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data as ``ocr-trt run --json`` prints it; ``ocr-trt schema result``."""
        return {
            "file": self.file,
            "page": self.page,
            "pages": self.pages,
            "width": self.width,
            "height": self.height,
            "lines": [line.to_dict() for line in self.lines],
            "search": None if self.search is None else self.search.to_dict(),
            "warnings": list(self.warnings),
            "seconds": {stage: round(value, 6) for stage, value in self.seconds.items()},
        }

    def to_json(self) -> str:
        """Return :meth:`to_dict` as JSON in one line; characters beyond ASCII stay as they are."""
        return json.dumps(self.to_dict(), ensure_ascii=False)
