"""The progress of ``ocr-trt batch`` on stderr: one line that changes, or a line every minute."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..batch.progress import Progress

_INTERVAL_S = 60.0
"""Seconds between lines if stderr is not a terminal, such as in the log of a job."""


class ProgressLine:
    """Shows how far a job is; a context manager that ends the line."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._is_terminal = not silent and sys.stderr.isatty()
        self._next = time.monotonic() + _INTERVAL_S
        self._width = 0

    def show(self, progress: Progress) -> None:
        """Show the progress if it is time."""
        if self._silent:
            return
        text = progress_text(progress)
        if self._is_terminal:
            # Spaces cover the rest of a longer line.
            print(f"\r  {text:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = len(text)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + _INTERVAL_S
            print(f"  {text}", file=sys.stderr, flush=True)

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            print(file=sys.stderr)


def progress_text(progress: Progress) -> str:
    """Return one line: images done, errors, images per second, time left."""
    share = 100 * progress.done / progress.total if progress.total else 100.0
    text = f"{progress.done:,} of {progress.total:,} images ({share:.0f} %)"
    if progress.failed:
        text += f", {progress.failed:,} failed"
    if progress.seconds_left is not None:
        text += f", {progress.rate:.1f} images/s, {shown_time(progress.seconds_left)} left"
    return text


def shown_time(seconds: float) -> str:
    """Return a duration for people: seconds, minutes, hours or days."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{max(0.0, seconds) / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
