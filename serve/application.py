"""The web application: routes, and errors in one format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ..common.version import __version__
from .answers import error_response
from .edge import Edge
from .ocr_routes import ocr_routes
from .page_routes import add_page
from .problems import Code, ServiceError
from .service import Service
from .state_routes import state_routes

_HEALTH = ("/health/live", "/health/ready")
_CODES: dict[int, Code] = {404: "not_found", 405: "method_not_allowed"}


class _Application(FastAPI):
    """An application whose description lists the statuses that it really answers with."""

    def openapi(self) -> dict[str, Any]:
        """Return the description without 422, which FastAPI adds: the service answers with 400."""
        is_new = self.openapi_schema is None
        description = super().openapi()
        if is_new:  # FastAPI returns the same dictionary from now on
            for operation in _operations(description):
                operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                description["components"]["schemas"].pop(name, None)
        return description


def _operations(description: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (each for path in description["paths"].values() for each in path.values())


def application(service: Service) -> ASGIApp:
    """Return the web application of a service."""
    app = _Application(
        title="ocr-trt",
        version=__version__,
        description="Reads the text in images and PDF documents.",
        # FastAPI's own pages load scripts from another host.
        docs_url=None,
        redoc_url=None,
        # A redirect would name the host of the request, which a proxy may have changed.
        redirect_slashes=False,
    )
    app.state.service = service
    app.include_router(ocr_routes())
    app.include_router(state_routes())
    for kind, handler in (
        (ServiceError, _on_service_error),
        (RequestValidationError, _on_wrong_parameter),
        (HTTPException, _on_http_error),
        (Exception, _on_bug),
    ):
        app.add_exception_handler(kind, handler)
    page = add_page(app, service.settings.samples)
    known = frozenset({*page, *_HEALTH, "/docs", "/openapi.json"})
    return Edge(app, service, frozenset({*page, *_HEALTH}), known)


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return _counted(request, error)


async def _on_wrong_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _counted(
        request, ServiceError("invalid_parameter", f"{first['loc'][-1]}: {first['msg']}")
    )


async def _on_http_error(request: Request, error: Exception) -> Response:
    """Answer for errors of the framework: no such route, or not this method."""
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "invalid_request")
    path = request.scope["path"][:80]  # request.url fails for some wrong Host headers
    response = _counted(
        request, ServiceError(code, f"{request.method} {path}: {error.detail}; see /docs")
    )
    headers = dict(error.headers or {})
    allowed = headers.get("Allow", "").split(", ")  # the methods of the route
    if "GET" in allowed and "HEAD" not in allowed:  # edge.py answers HEAD as GET
        headers["Allow"] = ", ".join((*allowed, "HEAD"))
    response.headers.update(headers)
    return response


async def _on_bug(request: Request, _: Exception) -> Response:
    return _counted(
        request, ServiceError("internal", "an error in the service; its log has the details")
    )


def _counted(request: Request, error: ServiceError) -> Response:
    request.app.state.service.measures.count_error(error.code)
    return error_response(error)
