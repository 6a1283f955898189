"""The messages of NVIDIA's libraries."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def logger_of(trt: Any) -> Any:
    """Return the logger of a package; its ``errors`` are the messages of level ERROR so far.

    There is one logger per process because NVIDIA's libraries keep the first logger that they get,
    and ignore the loggers of later builders and runtimes.
    """

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return Logger()


def errors_since(logger: Any, count: int) -> str:
    """Return the errors logged after the first ``count``, in one line."""
    return "; ".join(logger.errors[count:])
