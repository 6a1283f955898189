"""The page at ``/``, its sample images, and the description of the API at ``/docs``.

All files are read when the service starts; a path that a client sends is only compared with names.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..common.frozen_model import StrictModel
from .docs_page import docs_html
from .problems import ErrorAnswer, ServiceError

PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Nothing from other hosts, and no script or style inside the HTML."""


class Sample(StrictModel):
    """An image that the page offers."""

    name: str
    url: str
    """The path of the image on this server."""


class Samples(StrictModel):
    """The answer of ``/v1/samples``."""

    samples: list[Sample]


@dataclass(frozen=True, kw_only=True)
class StaticFile:
    """A file in memory."""

    data: bytes
    media_type: str
    policy: str

    def response(self, request: Request) -> Response:
        """Return the file, or 304 if the client has it."""
        tag = f'"{hashlib.sha256(self.data).hexdigest()[:32]}"'
        headers = {
            "Content-Security-Policy": self.policy, "Cache-Control": "no-cache", "ETag": tag,
        }  # fmt: skip
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(self.data, media_type=self.media_type, headers=headers)


def page_files(folder: Path = PAGE) -> dict[str, StaticFile]:
    """Return the files of the page by path: ``/`` is index.html, and ``/app.js`` is app.js."""
    files = {
        f"/{path.relative_to(folder).as_posix()}": StaticFile(
            data=path.read_bytes(), media_type=_TYPES[path.suffix], policy=_PAGE_POLICY
        )
        for path in sorted(folder.rglob("*"))
        if path.suffix in _TYPES
    }
    return {"/": files["/index.html"], **files}


def add_page(app: FastAPI, samples: tuple[Path, ...]) -> frozenset[str]:
    """Add the routes to an application that has all others; return those of the page itself."""
    files = page_files()
    for path, file in files.items():
        app.router.routes.append(Route(path, _endpoint(file), methods=["GET"]))
    app.include_router(_sample_routes(samples))
    html, style = docs_html(app.openapi())
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    docs = StaticFile(
        data=html.encode("utf-8"),
        media_type=_TYPES[".html"],
        policy=f"default-src 'none'; style-src 'sha256-{hashed}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
    )
    app.router.routes.append(Route("/docs", _endpoint(docs), methods=["GET"]))
    return frozenset(files)


def _endpoint(file: StaticFile) -> Any:
    async def answer(request: Request) -> Response:
        return file.response(request)

    return answer


def _sample_routes(samples: tuple[Path, ...]) -> APIRouter:
    """Return the routes of the sample images, whose names must differ."""
    router, known = APIRouter(tags=["Samples"]), {path.name: path for path in samples}

    async def list_samples() -> Samples:
        """List the sample images of the page."""
        return Samples(samples=[Sample(name=name, url=f"/v1/samples/{name}") for name in known])

    async def sample(name: str) -> Response:
        """Return a sample image."""
        path = known.get(name)
        if path is None:
            raise ServiceError("not_found", "there is no such sample; see /v1/samples")
        return Response(path.read_bytes(), media_type=_TYPES[path.suffix])

    router.add_api_route("/v1/samples", list_samples, response_model=Samples)
    router.add_api_route(
        "/v1/samples/{name}",
        sample,
        response_class=Response,
        responses={
            200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
            404: {"model": ErrorAnswer},
        },
    )
    return router
