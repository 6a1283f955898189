"""The JSON that commands print, as models: only for their JSON Schemas and for tests."""

from __future__ import annotations

from typing import TypeAlias

from ..common.frozen_model import StrictModel
from ..pipeline.page_documents import ErrorFacts, PageDocument


class ErrorDocument(StrictModel):
    """Printed by a command with --json that fails without a result."""

    error: ErrorFacts


RunOutput: TypeAlias = list[PageDocument]
"""Printed by `run --json`: one item per page, in the order of the images."""
