"""The JSON of one page, which `ocr-trt run --json` prints and the HTTP service returns."""

from __future__ import annotations

from typing import TypeAlias

from ..common.frozen_model import StrictModel
from .read_result import ReadResult


class ErrorFacts(StrictModel):
    """What ended a command, or prevented a part of its result."""

    type: str
    """The class of the exception, such as InputFileError; UsageError for wrong options."""
    message: str
    """What happened, and what to do next, in one line."""
    exit_code: int
    """The exit code of the command if this ends it."""


class UnreadPage(StrictModel):
    """An image or page that cannot be read."""

    file: str | None
    """The path of the image, if it comes from a file."""
    page: int
    """The page, counted from 1."""
    error: ErrorFacts


PageDocument: TypeAlias = ReadResult | UnreadPage
"""A page that was read, or why it has no text. ``ocr-trt schema run``: a list of them."""
