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


class BatchError(StrictModel):
    """An image or page that `batch` cannot read."""

    id: str
    """The id of the image."""
    page: int
    """The page, counted from 1."""
    message: str
    """What happened."""


class BatchOutput(StrictModel):
    """Printed by `batch --json`: a summary; the results are in parquet files."""

    output: str
    """The folder of the result files."""
    images: int
    """Images that have a result or an error, those of earlier runs included."""
    read_earlier: int
    """How many of these images earlier runs had read."""
    failed: int
    """Images with an error."""
    rows: int
    """Pages, one per row."""
    images_per_second: float
    """Images of this run per second, from the end of the first block on; 0 if there is only one."""
    actors: int
    """How many processes read images."""
    threads: int
    """CPU threads of each process."""
    errors: list[BatchError]
    """The first errors; all are in the column `error`."""
