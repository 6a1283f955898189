"""The web application: routes, and errors in one format."""

from __future__ import annotations

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


def application(service: Service) -> ASGIApp:
    """Return the web application of a service."""
    app = FastAPI(
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
    response.headers.update(error.headers or {})  # Allow, which lists the methods of a route
    return response


async def _on_bug(request: Request, _: Exception) -> Response:
    return _counted(
        request, ServiceError("internal", "an error in the service; its log has the details")
    )


def _counted(request: Request, error: ServiceError) -> Response:
    request.app.state.service.measures.count_error(error.code)
    return error_response(error)
