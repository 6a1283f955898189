"""The images in the body of a request: raw, multipart or JSON. No path or URL is ever opened.

A body is read within limits of bytes and time, into memory that all requests share.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request

from ..common.frozen_model import StrictModel
from .multipart_files import multipart_files
from .problems import ServiceError
from .settings import Limits, Times

_RAW = re.compile(
    # curl sends the last one if no header is given; the content decides whether it is an image.
    r"image/.*|application/(pdf|octet-stream|x-www-form-urlencoded)"
)
_MOST_JSON_VALUES = 5000
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")


class JsonImage(StrictModel):
    """The JSON body of ``/v1/ocr``."""

    image: str
    """The content of an image or PDF file in base64."""


class JsonImages(StrictModel):
    """The JSON body of ``/v1/ocr/batch``."""

    images: list[str]
    """The contents of image or PDF files in base64."""


@dataclass(kw_only=True)
class Body:
    """A body that was read: its media type, its Content-Type header, and its bytes."""

    media_type: str
    content_type: str
    data: bytes
    held: int
    """The bytes that are counted as held for the request."""


_Images = TypeVar("_Images", bytes, "list[bytes | ServiceError]")


class BodyReader:
    """Reads bodies; all requests share ``limits.held_bytes``."""

    def __init__(self, limits: Limits, times: Times) -> None:
        self._limits, self._times, self._held = limits, times, 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[Body]:
        """Read the body of a request; it is counted as held until the block ends.

        Raises:
            ServiceError: it is too large, too slow, or of an unsupported encoding; or all requests
                together hold too much.
        """
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise ServiceError(
                "unsupported_media_type",
                f"Content-Encoding: {encoding:.40} is not supported; send the file as it is",
            )
        self._check_length(request)
        chunks: list[bytes] = []
        body: Body | None = None
        try:
            try:
                await asyncio.wait_for(self._receive(request, chunks), self._times.receive)
            except asyncio.TimeoutError:
                raise ServiceError(
                    "request_timeout",
                    f"the body did not arrive within {self._times.receive:g} seconds",
                ) from None
            except ClientDisconnect:
                raise ServiceError("client_closed", "the client closed the connection") from None
            content_type = request.headers.get("content-type", "")
            body = Body(
                media_type=content_type.partition(";")[0].strip().lower(),
                content_type=content_type,
                data=b"".join(chunks),
                held=sum(map(len, chunks)),
            )
            chunks.clear()  # a request may wait for seconds: it must not hold its body twice
            yield body
        finally:
            self._held -= sum(map(len, chunks)) if body is None else body.held

    @asynccontextmanager
    async def images(
        self, request: Request, decode: Callable[[Body], _Images]
    ) -> AsyncIterator[_Images]:
        """Read the body of a request, and decode it; only the images are held until the block ends.

        Args:
            request: with a body that :meth:`body` reads.
            decode: returns the images in it, such as :func:`single_image`.

        Raises:
            ServiceError: as :meth:`body` and ``decode`` raise it.
        """
        async with self.body(request) as body:
            # In a thread: decoding base64 or multipart would block the event loop.
            images = await asyncio.to_thread(decode, body)
            # What the images were decoded from is no longer required.
            body.data = b""
            size = _size_of(images)
            self._held += size - body.held
            body.held = size
            yield images

    @property
    def held(self) -> int:
        """The bytes of the bodies of all requests that are in memory."""
        return self._held

    def _check_length(self, request: Request) -> None:
        """Refuse a body that is too large before any of it is read."""
        stated = request.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > self._limits.body_bytes:
            raise self._too_large()

    async def _receive(self, request: Request, chunks: list[bytes]) -> None:
        size = 0
        # Chunked bodies state no length, so every part is counted.
        async for chunk in request.stream():
            size += len(chunk)
            if size > self._limits.body_bytes:
                raise self._too_large()
            if self._held + len(chunk) > self._limits.held_bytes:
                raise ServiceError(
                    "overloaded", "too many bodies are being received; try again", retry_after=1
                )
            self._held += len(chunk)
            chunks.append(chunk)

    def _too_large(self) -> ServiceError:
        return ServiceError(
            "body_too_large",
            f"the body is larger than the {self._limits.body_bytes:,} bytes allowed; send smaller "
            "or fewer images",
        )


def _size_of(images: bytes | list[bytes | ServiceError]) -> int:
    every = [images] if isinstance(images, bytes) else images
    return sum(len(image) for image in every if isinstance(image, bytes))


def single_image(body: Body) -> bytes:
    """Return the image of a request that sends one.

    Raises:
        ServiceError: the media type is not supported, or the body is malformed.
    """
    if body.media_type == "application/json":
        return _decoded(_json(body, JsonImage).image)
    if body.media_type == "multipart/form-data":
        files = multipart_files(body.content_type, body.data, most=1)
        if len(files) != 1:
            raise ServiceError("invalid_body", 'the multipart body has no part "file"')
        return _not_empty(files[0])
    if not body.media_type or _RAW.fullmatch(body.media_type):
        return _not_empty(body.data)
    raise ServiceError(
        "unsupported_media_type",
        f"Content-Type: {body.media_type:.80} is not supported; send image/*, application/pdf, "
        'multipart/form-data with a part "file", or application/json {"image": base64}',
    )


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise ServiceError("invalid_body", "the image is empty")
    return data


def several_images(body: Body, limits: Limits) -> list[bytes | ServiceError]:
    """Return the images of a batch by position; an error where base64 cannot be decoded.

    Raises:
        ServiceError: the media type is not supported, the body is malformed, or has too many
            images.
    """
    images: list[bytes | ServiceError]
    if body.media_type == "application/json":
        texts = _json(body, JsonImages).images
        _check_number(len(texts), limits)
        images = [_decoded_or_error(text) for text in texts]
    elif body.media_type == "multipart/form-data":
        images = [*multipart_files(body.content_type, body.data, most=limits.images)]
    else:
        raise ServiceError(
            "unsupported_media_type",
            'send multipart/form-data with a part "file" for each image, or application/json '
            '{"images": [base64, ...]}',
        )
    if not images:
        raise ServiceError("invalid_body", "the batch has no images")
    return images


def _check_number(number: int, limits: Limits) -> None:
    if number > limits.images:
        raise ServiceError(
            "too_many_images", f"more than the {limits.images} images allowed; send several batches"
        )


def _json(body: Body, kind: type[Any]) -> Any:
    # A list of millions of values takes 20 times the memory of its text.
    if sum(body.data.count(mark) for mark in (b",", b"[", b"{")) > _MOST_JSON_VALUES:
        raise ServiceError("invalid_body", f"the JSON has more than {_MOST_JSON_VALUES} values")
    try:
        # Not pydantic's parser: its message would repeat the image.
        data = json.loads(body.data)
        return kind.model_validate(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise ServiceError("invalid_body", f"{place:.80}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise ServiceError("invalid_body", "the body is not valid JSON") from None


def _decoded(text: str) -> bytes:
    """Decode base64, with or without line ends; pages in browsers put a data: prefix before it."""
    match = _DATA_URL.match(text)
    payload = text[match.end() if match else 0 :]
    try:
        data = base64.b64decode("".join(payload.split()), validate=True)
    except (ValueError, binascii.Error):
        raise ServiceError("invalid_body", "the image is not valid base64") from None
    return _not_empty(data)


def _decoded_or_error(text: str) -> bytes | ServiceError:
    try:
        return _decoded(text)
    except ServiceError as error:
        return error
