"""Answers of the service: pages as JSON or as a drawing, and errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import Field
from starlette.responses import Response

from ..common.frozen_model import StrictModel
from ..pipeline.page_documents import PageDocument
from .page_pool import PageOutcome
from .problems import ErrorBody, ServiceError, service_error


class BatchAnswer(StrictModel):
    """The answer of ``/v1/ocr/batch``: both lists have an item for each image, in order."""

    results: list[list[PageDocument] | None] = Field(
        description="The pages of each image, as /v1/ocr returns them; null: see `errors`."
    )
    errors: list[ErrorBody | None] = Field(
        description="Why an image has no result; null if it has one."
    )


def page_list(outcomes: Sequence[PageOutcome]) -> list[dict[str, Any]]:
    """Return pages as JSON data; ``ocr-trt schema run`` describes it.

    Raises:
        ServiceError: no page could be read; the reason of the first.
    """
    first = outcomes[0].error
    if first is not None and all(outcome.error is not None for outcome in outcomes):
        raise service_error(first)
    return [_page(outcome) for outcome in outcomes]


def _page(outcome: PageOutcome) -> dict[str, Any]:
    if outcome.result is not None:
        return outcome.result.to_dict()
    error = outcome.error
    assert error is not None
    facts = {"type": type(error).__name__, "message": str(error), "exit_code": error.exit_code}
    return {"file": None, "page": outcome.page, "error": facts}


def batch_answer(outcomes: Sequence[list[PageOutcome] | ServiceError]) -> dict[str, Any]:
    """Return the pages and errors of a batch as JSON data."""
    results: list[Any] = []
    errors: list[Any] = []
    for outcome in outcomes:
        pages, error = None, outcome if isinstance(outcome, ServiceError) else None
        if not isinstance(outcome, ServiceError):
            try:
                pages = page_list(outcome)
            except ServiceError as reason:
                error = reason
        results.append(pages)
        errors.append(None if error is None else error.to_dict())
    return {"results": results, "errors": errors}


def json_response(data: Any, status: int = 200) -> Response:
    """Return JSON; characters beyond ASCII stay as they are."""
    text = json.dumps(data, ensure_ascii=False)
    return Response(text.encode("utf-8"), status, media_type="application/json")


def error_response(error: ServiceError) -> Response:
    """Return ``{"error": {"code", "message"}}`` with the status of the code."""
    response = json_response({"error": error.to_dict()}, error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.code == "invalid_request":
        response.headers["Connection"] = "close"  # where the next request begins is not certain
    if error.code == "unauthorized":
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
