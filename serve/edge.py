"""The first and last step of every request: its id, the token, headers, and counters."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
import uuid
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .answers import error_response
from .measures import UNMATCHED
from .problems import ServiceError
from .service import Service

_log = logging.getLogger("ocr_trt.serve")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Set unless a route sets its own."""


@dataclass(kw_only=True)
class _Exchange:
    """A request and its answer."""

    request_id: str
    scope: Scope
    known_paths: frozenset[str]
    start: float = field(default_factory=time.monotonic)
    status: int = 0
    """0: the answer has not begun."""

    @property
    def route(self) -> str:
        """The path of the route."""
        path = self.scope["path"] if self.scope["path"] in self.known_paths else UNMATCHED
        return str(getattr(self.scope.get("route"), "path", path))


class Edge:
    """An ASGI application around another one.

    Args:
        app: the application.
        service: its phase, its token and its counters.
        open_paths: paths that need no token.
        known_paths: paths that are labels of metrics.
    """

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        open_paths: frozenset[str],
        known_paths: frozenset[str],
    ) -> None:
        self._app, self._service = app, service
        self._open_paths, self._known_paths = open_paths, known_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        method = scope["method"]
        if method == "HEAD":
            # The same headers as for GET (RFC 9110, 9.3.2). uvicorn sends no body, because its own
            # scope still has the method HEAD.
            scope = {**scope, "method": "GET"}
        exchange = _Exchange(request_id=request_id, scope=scope, known_paths=self._known_paths)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._begin_answer(exchange, message)
            await send(message)

        try:
            _check_length(scope)
            self._check_token(scope)
            await self._app(scope, receive, answer)
        except ServiceError as error:  # of these checks
            self._service.measures.count_error(error.code)
            await error_response(error)(scope, receive, answer)
        except asyncio.CancelledError:  # the time to drain is over
            if exchange.status:
                raise
            stopping = ServiceError("stopping", "the service is shutting down")
            await error_response(stopping)(scope, receive, answer)
        except Exception as error:
            # The application has sent its answer: the handler of Exception in application.py.
            _log.error("request %s failed", request_id, exc_info=error)
            if not exchange.status:
                raise
        _log.info(
            "%s %s %d %.0f ms %s", method, exchange.route, exchange.status,
            1000 * (time.monotonic() - exchange.start), request_id,
        )  # fmt: skip

    def _begin_answer(self, exchange: _Exchange, message: Message) -> None:
        # Counted before the client gets the first byte: who asks for /metrics next finds it there.
        exchange.status = message["status"]
        seconds = time.monotonic() - exchange.start
        self._service.measures.count_request(exchange.route, exchange.status, seconds)
        headers = MutableHeaders(scope=message)
        headers["X-Request-Id"] = exchange.request_id
        for name, value in _SAFE_HEADERS.items():
            headers.setdefault(name, value)

    def _check_token(self, scope: Scope) -> None:
        """Check the bearer token, in a time that does not depend on how much of it is right."""
        token = self._service.settings.token
        if token is None or scope["path"] in self._open_paths:
            return
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode("latin-1"), token.encode("latin-1"))
        if scheme.lower() != "bearer" or not is_right:
            raise ServiceError(
                "unauthorized",
                "the token is missing or wrong; send the header Authorization: Bearer TOKEN",
            )


def _check_length(scope: Scope) -> None:
    """Refuse a body with two lengths.

    A proxy that used the other one would take a part of this body for the next request, or a part
    of the next request for this body (RFC 9112, 6.1).
    """
    names = {name for name, _ in scope["headers"]}
    if {b"content-length", b"transfer-encoding"} <= names:
        raise ServiceError(
            "invalid_request",
            "the request has Content-Length and Transfer-Encoding; send only one of them",
        )
