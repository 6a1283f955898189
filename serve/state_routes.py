"""Routes about the service itself: health, metrics, and what it runs."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from ..common.frozen_model import StrictModel
from ..common.input_size import InputSize
from ..common.version import __version__
from ..engines.bundle import Bundle
from ..engines.manifest import Verdict
from ..engines.targets import backend
from .problems import ErrorAnswer, ServiceError
from .service import Phase, Service


class Health(StrictModel):
    """The answer of the health routes."""

    status: Literal["alive", "ready"]


class BundleInfo(StrictModel):
    """A bundle that the service runs."""

    name: str
    """The name of the model."""
    bundle: str
    """The name of the bundle's folder."""
    target: str
    precision: str
    sizes: tuple[InputSize, ...]
    """Input sizes, each [height, width] in pixels."""
    versions: dict[str, str]
    """Versions of the libraries that built the bundle."""
    runtime: str
    """The version of the target that runs it here."""
    source_sha256: str
    """SHA-256 of the source model."""
    verdict: Verdict | None
    """Accuracy and speed that were measured at the end of the build."""
    accuracy_loss: float | None
    """Points of hmean, CER or accuracy lost against the baseline; negative: gained."""
    speedup: float | None
    """How many times faster than the baseline."""


class Info(StrictModel):
    """The answer of ``/v1/info``."""

    version: str
    """The version of ocr-trt."""
    phase: Phase
    workers: int
    """How many images are read at once."""
    capacity: float
    """Images per second that were measured while all workers were busy."""
    bundles: dict[str, BundleInfo | None]
    """By role; null: not used. Without a detector, each image is one line."""
    limits: dict[str, int]
    times: dict[str, float]
    """Deadlines and waiting times in seconds."""
    read: dict[str, Any]
    """How images are read."""


def _service_of(request: Request) -> Service:
    return request.app.state.service


async def live(request: Request) -> Health:
    """Report that the process answers."""
    return Health(status="alive")


async def ready(request: Request) -> Health:
    """Report whether images can be read: the engines are loaded and have read a test page."""
    phase = _service_of(request).phase
    if phase == "starting":
        raise ServiceError("starting", "the engines are still being loaded", retry_after=1)
    if phase == "stopping":
        raise ServiceError("stopping", "the service is shutting down")
    return Health(status="ready")


async def metrics(request: Request) -> Response:
    """Return counters, durations and gauges in the text format of Prometheus."""
    registry = _service_of(request).measures.registry
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def info(request: Request) -> Info:
    """Return the bundles with the verdicts of their builds, versions, limits and times."""
    service = _service_of(request)
    settings, bundles = service.settings, service.bundles
    return Info(
        version=__version__,
        phase=service.phase,
        workers=service.workers,
        capacity=round(service.capacity, 2),
        bundles={
            role: None if bundle is None else _bundle_info(bundle)
            for role, bundle in vars(bundles).items()
        },
        limits=vars(settings.limits),
        times=vars(settings.times),
        read=vars(settings.read),
    )


def _bundle_info(bundle: Bundle) -> BundleInfo:
    manifest = bundle.manifest
    verdict = manifest.verdict
    metric, latency = (verdict.metric, verdict.latency) if verdict else (None, None)
    return BundleInfo(
        name=manifest.spec.name,
        bundle=bundle.folder.resolve().name,
        target=manifest.target,
        precision=manifest.precision,
        sizes=manifest.spec.input_sizes,
        versions=manifest.versions,
        runtime=backend(manifest.target).availability().version,
        source_sha256=manifest.source_sha256,
        verdict=verdict,
        accuracy_loss=None if metric is None else round(metric.loss, 3),
        speedup=None if latency is None else round(latency.speedup, 3),
    )


def state_routes() -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["State"])
    router.add_api_route("/health/live", live, response_model=Health)
    router.add_api_route(
        "/health/ready", ready, response_model=Health, responses={503: {"model": ErrorAnswer}}
    )
    router.add_api_route("/metrics", metrics, response_class=Response)
    router.add_api_route("/v1/info", info, response_model=Info)
    return router
