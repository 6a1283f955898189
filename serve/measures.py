"""What ``/metrics`` reports, under the names that Prometheus recommends."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from ..common.version import __version__
from ..pipeline.read_result import ReadResult
from .problems import KINDS, Code

UNMATCHED = "unmatched"
"""The route of requests for paths that do not exist, and of those that were refused before their
path was known. A label for each path would fill the memory."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LINES = (1, 2, 4, 8, 16, 32, 64)


class Measures:
    """Counters and histograms of one service, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nothing uses
        self.registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        Info("ocr_trt_build", "Version of ocr-trt.", registry=own).info({"version": __version__})
        self._requests = Counter(
            "ocr_trt_requests", "Answers by route and HTTP status.", ["route", "status"],
            registry=own,
        )  # fmt: skip
        self._durations = Histogram(
            "ocr_trt_request_duration_seconds", "Seconds from a request's headers to its answer.",
            ["route"], buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self._errors = Counter(
            "ocr_trt_errors", "Errors by code, including those in batch answers.", ["code"],
            registry=own,
        )  # fmt: skip
        self._stages = Histogram(
            "ocr_trt_stage_duration_seconds", "Seconds per image, by stage.", ["stage"],
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self._images = Counter("ocr_trt_images", "Images and pages that were read.", registry=own)
        self._lines = Counter("ocr_trt_lines", "Lines of text that were read.", registry=own)
        self._batches = Histogram(
            "ocr_trt_batch_lines", "Lines per batch of the recognizer.", buckets=_LINES,
            registry=own,
        )  # fmt: skip

    def add_gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a value that is computed when it is requested."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._requests.labels(route, str(status)).inc()
        self._durations.labels(route).observe(seconds)

    def count_error(self, code: str) -> None:
        """Count an error that a client gets."""
        self._errors.labels(code).inc()

    def count_refusal(self, code: Code) -> None:
        """Count an error that a client got before the application received its request."""
        self._requests.labels(UNMATCHED, str(KINDS[code].status)).inc()
        self.count_error(code)

    def count_page(self, result: ReadResult) -> None:
        """Count an image or page that was read."""
        self._images.inc()
        self._lines.inc(len(result.lines))
        for stage, seconds in result.seconds.items():
            self._stages.labels(stage).observe(seconds)

    def count_batch(self, lines: int) -> None:
        """Count a batch of the recognizer."""
        self._batches.observe(lines)
