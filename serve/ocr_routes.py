"""``/v1/ocr`` and ``/v1/ocr/batch``: from the body of a request to text."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from ..pipeline.page_documents import PageDocument
from .answers import BatchAnswer, batch_answer, json_response, page_list
from .bodies import JsonImage, JsonImages, several_images, single_image
from .problems import KINDS, ErrorAnswer, ServiceError, service_error
from .service import Service

_Result = TypeVar("_Result")
_FILE = {"type": "string", "format": "binary"}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "model": ErrorAnswer,
        "description": " ".join(
            f"`{code}`: {kind.meaning}" for code, kind in KINDS.items() if kind.status == status
        ),
    }
    for status in (400, 401, 408, 413, 415, 500, 503, 504)
}


def _service_of(request: Request) -> Service:
    return request.app.state.service


async def _before_deadline(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Wait for work until the deadline, or until the client closes the connection.

    Raises:
        ServiceError: the deadline passed or the client is gone; the work was cancelled.
    """
    deadline = _service_of(request).settings.times.deadline
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_closed(request))
    try:
        await asyncio.wait((task, gone), timeout=deadline, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ServiceError("client_closed", "the client closed the connection")
        raise ServiceError(
            "deadline_exceeded",
            f"no answer within {deadline:g} seconds; try again later, or send a smaller image",
        )
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _closed(request: Request) -> None:
    """Return when the client closes the connection. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def ocr(
    request: Request,
    draw: Annotated[
        bool, Query(description="Return one page as a PNG file with boxes and texts.")
    ] = False,
    page: Annotated[
        int | None, Query(ge=1, le=1_000_000, description="Read only this page, counted from 1.")
    ] = None,
) -> Response:
    """Read the text in an image, or in the pages of a PDF document or TIFF file.

    The answer has an item for each page, as `ocr-trt run --json` prints them.
    """
    service = _service_of(request)
    async with service.bodies.images(request, single_image) as image:
        work = service.read(image, page=page or (1 if draw else None), draws=draw)
        outcomes = await _before_deadline(request, work)
    if not draw:
        return json_response(page_list(outcomes))
    (outcome,) = outcomes
    if outcome.error is not None:
        raise service_error(outcome.error)
    return Response(outcome.drawing, media_type="image/png")


async def preview(
    request: Request,
    page: Annotated[
        int, Query(ge=1, le=1_000_000, description="The page to return, counted from 1.")
    ] = 1,
) -> Response:
    """Return an image, or a page of a document, as an upright PNG file that every browser shows.

    The longest side has at most 2000 pixels. The text is not read.
    """
    service = _service_of(request)
    async with service.bodies.images(request, single_image) as image:
        data = await _before_deadline(request, service.preview(image, page))
    return Response(data, media_type="image/png")


async def ocr_batch(request: Request) -> Response:
    """Read several images. Results and errors are in the order of the images.

    The status is 200 even if no image can be read.
    """
    service = _service_of(request)
    decode = partial(several_images, limits=service.settings.limits)
    async with service.bodies.images(request, decode) as images:
        outcomes = await _before_deadline(request, service.read_batch(images))
    answer = batch_answer(outcomes)
    for error in filter(None, answer["errors"]):
        service.measures.count_error(error["code"])
    return json_response(answer)


def _multipart(is_batch: bool) -> dict[str, Any]:
    file: dict[str, Any] = {"type": "array", "items": _FILE} if is_batch else _FILE
    return {"schema": {"type": "object", "properties": {"file": file}, "required": ["file"]}}


def _json_body(kind: type[Any]) -> dict[str, Any]:
    return {"schema": TypeAdapter(kind).json_schema()}


_PNG = {"image/png": {"schema": _FILE}}
_ONE_IMAGE: dict[str, Any] = {
    "image/*": {"schema": _FILE},
    "application/pdf": {"schema": _FILE},
    "multipart/form-data": _multipart(is_batch=False),
    "application/json": _json_body(JsonImage),
}
_SEVERAL_IMAGES: dict[str, Any] = {
    "multipart/form-data": _multipart(is_batch=True),
    "application/json": _json_body(JsonImages),
}


def ocr_routes() -> APIRouter:
    """Return the routes, with their bodies and answers for OpenAPI."""
    router = APIRouter(tags=["OCR"])

    def add(path: str, endpoint: Any, body: dict[str, Any], **answer: Any) -> None:
        router.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            response_class=Response,
            responses={200: answer, **_ERRORS},
            openapi_extra={"requestBody": {"required": True, "content": body}},
        )

    pages = {"model": list[PageDocument], "content": _PNG}
    add("/v1/ocr", ocr, _ONE_IMAGE, **pages, description="The pages; with `draw`, a PNG file.")
    add("/v1/preview", preview, _ONE_IMAGE, content=_PNG, description="A PNG file.")
    add("/v1/ocr/batch", ocr_batch, _SEVERAL_IMAGES, model=BatchAnswer, description="The results.")
    return router
