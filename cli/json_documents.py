"""The JSON that commands print, as models: only for their JSON Schemas and for tests."""

from __future__ import annotations

from typing import TypeAlias

from ..common.frozen_model import StrictModel
from ..pipeline.read_result import ReadResult


class ErrorFacts(StrictModel):
    """What ended a command, or prevented a part of its result."""

    type: str
    """The class of the exception, such as InputFileError; UsageError for wrong options."""
    message: str
    """What happened, and what to do next, in one line."""
    exit_code: int
    """The exit code of the command if this ends it."""


class ErrorDocument(StrictModel):
    """Printed by a command with --json that fails without a result."""

    error: ErrorFacts


class UnreadPage(StrictModel):
    """An image or page that `run` cannot read."""

    file: str
    """The path of the image."""
    page: int
    """The page, counted from 1."""
    error: ErrorFacts


RunOutput: TypeAlias = list[ReadResult | UnreadPage]
"""Printed by `run --json`: one item per page, in the order of the images."""
