"""Connections of clients that stop reading end, however little of an answer is left."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from ocr_trt.serve.protocol import GuardedProtocol, guarded_protocol
from ocr_trt.serve.settings import Limits, Times

_CHUNK = bytes(16_384)


@pytest.mark.parametrize("ends", [b"", b"Connection: close\r\n"])
def test_client_that_reads_nothing_loses_its_connection(ends: bytes) -> None:
    """The rest of the answer is less than what pauses writing (64 KiB)."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        (connection,) = server.server_state.connections
        assert isinstance(connection, GuardedProtocol)
        while not connection.transport.get_write_buffer_size():
            await send({"type": "http.response.body", "body": _CHUNK, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        assert not connection.flow.write_paused

    times = Times(keep_alive=1, answer=0.5)
    server = uvicorn.Server(
        uvicorn.Config(
            app, http=guarded_protocol(Limits(), times), lifespan="off", log_config=None,
            timeout_keep_alive=1,
        )
    )  # fmt: skip

    async def use(listener: socket.socket) -> None:
        serving = asyncio.ensure_future(server.serve([listener]))
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, listener.getsockname())
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n" + ends + b"\r\n")
            while not server.server_state.total_requests:
                await asyncio.sleep(0.05)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(_until_closed(server), 20)
            left = len(server.server_state.connections)
        server.should_exit = True
        await serving
        assert not left, "the connection stays open for as long as the client likes"

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(use(listener))


async def _until_closed(server: uvicorn.Server) -> None:
    while server.server_state.connections:
        await asyncio.sleep(0.05)


def test_connections_beyond_the_limit_are_refused_and_counted() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("no request reaches the application")

    codes: list[str] = []
    server = uvicorn.Server(
        uvicorn.Config(
            app, http=guarded_protocol(Limits(connections=1), Times(), codes.append),
            lifespan="off", log_config=None,
        )
    )  # fmt: skip

    async def use(listener: socket.socket) -> bytes:
        serving = asyncio.ensure_future(server.serve([listener]))
        address = listener.getsockname()
        first = await asyncio.open_connection(*address)
        while not server.server_state.connections:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*address)
        answer = await asyncio.wait_for(reader.read(), 20)
        for each in (first[1], writer):
            each.close()
        server.should_exit = True
        await serving
        return answer

    with socket.create_server(("127.0.0.1", 0)) as listener:
        answer = asyncio.run(use(listener))
    assert answer.startswith(b"HTTP/1.1 503") and b"Retry-After: 1" in answer
    assert codes == ["overloaded"]
