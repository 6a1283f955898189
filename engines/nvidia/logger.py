"""What NVIDIA's libraries say while they work."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def logger_of(trt: Any) -> Any:
    """Return the logger of a package; its ``errors`` are the messages of level ERROR so far.

    One for the process: NVIDIA's libraries keep the first one that they get, whatever a later
    builder or runtime is given.
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
    """Return what was logged after the first ``count`` errors, in one line."""
    return "; ".join(logger.errors[count:])
