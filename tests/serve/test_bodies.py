"""Bodies in memory: each is held once, and counted until its request ends."""

from __future__ import annotations

import asyncio
import base64
import json
import tracemalloc

import pytest
from starlette.requests import Request
from starlette.types import Message

from ocr_trt.serve.bodies import BodyReader, single_image
from ocr_trt.serve.problems import ServiceError
from ocr_trt.serve.settings import MIB, Limits, Times
from tests.serve.client import multipart


def request(*chunks: int) -> Request:
    """A request whose body arrives in chunks of so many bytes."""
    remaining = list(chunks)

    async def receive() -> Message:
        size = remaining.pop(0)
        return {"type": "http.request", "body": bytes(size), "more_body": bool(remaining)}

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
    return Request(scope, receive)


def test_a_waiting_request_holds_its_body_once() -> None:
    async def held() -> int:
        async with BodyReader(Limits(), Times()).body(request(*[MIB] * 8)) as body:
            assert len(body.data) == 8 * MIB
            return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        assert asyncio.run(held()) < 12 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["json", "multipart"])
def test_a_waiting_request_holds_its_images_but_not_its_body(kind: str) -> None:
    image = bytes(range(256)) * (4 * MIB // 256)
    data, form = multipart(image)
    if kind == "json":
        data, form = json.dumps({"image": base64.b64encode(image).decode()}).encode(), ""
    form = form or "application/json"

    async def held(data: list[bytes]) -> tuple[int, int, int]:
        async def receive() -> Message:
            return {"type": "http.request", "body": data.pop()}

        headers = [(b"content-type", form.encode())]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        reader = BodyReader(Limits(), Times())
        async with reader.images(Request(scope, receive), single_image) as own:
            assert own == image
            return tracemalloc.get_traced_memory()[0], reader.held, len(own)

    tracemalloc.start()
    try:
        given = [bytes(bytearray(data))]  # traced
        del data
        size, counted, length = asyncio.run(held(given))
    finally:
        tracemalloc.stop()
    assert counted == length == len(image)
    assert size < 1.5 * len(image)


def test_all_bodies_together_are_limited_and_released() -> None:
    async def use() -> None:
        reader = BodyReader(Limits(body_bytes=60, held_bytes=100), Times())
        for _ in range(3):  # what a request held is free again, whatever ended it
            async with reader.body(request(30, 30)):
                with pytest.raises(ServiceError) as full:
                    async with reader.body(request(30, 30)):
                        pass
                assert full.value.code == "overloaded"
                async with reader.body(request(40)):
                    pass
            with pytest.raises(ServiceError) as large:
                async with reader.body(request(30, 31)):
                    pass
            assert large.value.code == "body_too_large"
            with pytest.raises(ZeroDivisionError):
                async with reader.body(request(60)):
                    raise ZeroDivisionError

    asyncio.run(use())
