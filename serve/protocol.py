"""HTTP/1.1 connections with limits that uvicorn does not have: number, headers, slow readers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .problems import KINDS, Code
from .settings import Limits, Times

_LINGER = 5.0
"""Seconds for which the rest of a body is received and dropped after an early answer. A connection
that is closed at once could lose the answer."""


def guarded_protocol(
    limits: Limits, times: Times, on_refusal: Callable[[Code], None] = lambda _: None
) -> type[H11Protocol]:
    """Return the class of connections; uvicorn creates its objects.

    ``on_refusal``: called with the code of each error that a connection answers by itself.
    """

    class _Guarded(GuardedProtocol):
        own_limits, own_times = limits, times
        own_on_refusal = staticmethod(on_refusal)

    return _Guarded


class GuardedProtocol(H11Protocol):
    """A connection that is closed if the client is too slow, or if there are too many."""

    own_limits: Limits
    own_times: Times
    own_on_refusal: Callable[[Code], None]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first headers."""
        super().connection_made(transport)
        if len(self.connections) > self.own_limits.connections:
            self._refuse("overloaded", "too many connections; try again later", "Retry-After: 1")
            return
        self._limit("headers", self.own_times.receive, self._headers_late)

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request."""
        super().data_received(data)
        if self.conn.their_state is not h11.SEND_BODY:
            self._unlimit("linger")
        if self.conn.their_state is not h11.IDLE:  # the headers are complete
            self._unlimit("headers")
        elif data and "headers" not in self._timers:
            self._limit("headers", self.own_times.receive, self._headers_late)

    def on_response_complete(self) -> None:
        """Close the connection soon if the client still sends a body that is not read."""
        if self.conn.their_state is h11.SEND_BODY:
            self._limit("linger", _LINGER, self._abort)
        super().on_response_complete()
        self._limit_end()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which no request came."""
        super().timeout_keep_alive_handler()
        self._limit_end()

    def pause_writing(self) -> None:
        """Limit how long the client may leave an answer unread."""
        super().pause_writing()
        self._limit("answer", self.own_times.answer, self._abort)

    def resume_writing(self) -> None:
        """Continue: the client reads."""
        super().resume_writing()
        self._unlimit("answer")
        self._limit_end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        for name in tuple(self._timers):
            self._unlimit(name)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not valid HTTP in the format of all errors."""
        self._refuse("invalid_request", msg)

    def _limit(self, name: str, seconds: float, action: Any) -> None:
        self._unlimit(name)
        self._timers[name] = self.loop.call_later(seconds, action)

    def _unlimit(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _limit_end(self) -> None:
        """Limit how long a connection that was closed waits for the client to read the rest.

        asyncio pauses writing above 64 KiB only, and would wait forever for less.
        """
        if self.transport.is_closing():
            self._limit("answer", self.own_times.answer, self._abort)

    def _headers_late(self) -> None:
        seconds = self.own_times.receive
        self._refuse("request_timeout", f"the headers did not arrive within {seconds:g} seconds")

    def _abort(self) -> None:
        self.transport.abort()

    def _refuse(self, code: Code, message: str, *headers: str) -> None:
        """Send an error without the application, and close the connection."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self._abort()  # in the middle of an answer
            return
        # Before the client gets it: who asks for /metrics next finds it there.
        self.own_on_refusal(code)
        status = KINDS[code].status
        body = json.dumps({"error": {"code": code, "message": message}}).encode()
        lines = [
            f"HTTP/1.1 {status} {code}", "Content-Type: application/json",
            f"Content-Length: {len(body)}", "Connection: close", *headers,
        ]  # fmt: skip
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self.transport.close()
        self._limit_end()
