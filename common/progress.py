"""Progress of long jobs. The command line shows it; programs may ignore it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from ..errors import UserError

Advance = Callable[[int], None]
"""Called with the number of units done so far."""
StepProgress = Callable[[str, int, "int | None"], None]
"""Called with the title of a step, the number of its units that are done, and the number of all
units, or None if that is unknown."""


class Reporter(Protocol):
    """Receives the steps and notes of a long job, such as a build; any class with both methods."""

    def step(self, title: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Return a context manager, which is entered when a step begins and left when it ends.

        Args:
            title: what the step does.
            total: the number of its units, or None if that is unknown.

        Returns:
            A context manager whose value is called with the number of units done so far.
        """

    def note(self, text: str) -> None:
        """Show one line that the user should read."""


class SilentReporter:
    """Reports nothing."""

    @contextlib.contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Advance]:
        """Open a step."""
        yield lambda done: None

    def note(self, text: str) -> None:
        """Discard the line."""


HEARTBEAT_S = 30.0
"""Seconds between two signs of life of a step that lasts longer."""


def duration_text(seconds: float) -> str:
    """Return a duration as text: "42 s", "3 min 5 s" or "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextlib.contextmanager
def heartbeat(
    say: Callable[[str], None], total: int | None, every: float | None = None
) -> Iterator[Advance]:
    """Call ``say`` with the time elapsed and the time left, as long as the block runs.

    Args:
        say: receives a text such as "1 min 0 s, 20 of 100, about 4 min 0 s left".
        total: the number of units of the step, or None if that is unknown.
        every: seconds between two calls; by default ``HEARTBEAT_S``.

    Yields:
        A function to call with the number of units done so far.
    """
    start, done, ended = time.monotonic(), 0, threading.Event()

    def advance(count: int) -> None:
        nonlocal done
        done = count

    def beat() -> None:
        while not ended.wait(HEARTBEAT_S if every is None else every):
            with contextlib.suppress(OSError, ValueError):  # stderr was closed
                say(_elapsed_text(time.monotonic() - start, done, total))

    # A thread, because a step may spend all its time in native code. It ends with the process.
    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield advance
    finally:
        ended.set()
        thread.join()


def _elapsed_text(seconds: float, done: int, total: int | None) -> str:
    parts = [f"{duration_text(seconds)} so far"]
    if total:
        parts.append(f"{done} of {total}")
        if done:
            # All units are assumed to take equally long.
            parts.append(f"about {duration_text(seconds * (total - done) / done)} left")
    return ", ".join(parts)


class LogReporter:
    """Writes steps (INFO) and notes (WARNING) to a logger; for programs without a reporter.

    A step that lasts longer than 30 seconds logs its progress every 30 seconds.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    @contextlib.contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Advance]:
        """Log the beginning of a step, and its progress."""
        self._logger.info("%s", title)
        with heartbeat(lambda text: self._logger.info("%s: %s", title, text), total) as advance:
            yield advance

    def note(self, text: str) -> None:
        """Log the line."""
        self._logger.warning("%s", text)


class CallbackReporter(LogReporter):
    """Calls a function when a step begins and when it advances; notes go to a logger."""

    def __init__(self, progress: StepProgress, logger: logging.Logger) -> None:
        super().__init__(logger)
        self._progress = progress

    @contextlib.contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Advance]:
        """Open a step."""
        with super().step(title, total) as advance:
            self._progress(title, 0, total)

            def advanced(done: int) -> None:
                advance(done)
                self._progress(title, done, total)

            yield advanced


def chosen_reporter(
    reporter: Reporter | None, progress: StepProgress | None, logger: logging.Logger
) -> Reporter:
    """Return the reporter of a caller, or one that calls ``progress``, or one that logs.

    Raises:
        UserError: both were given.
    """
    if reporter is not None and progress is not None:
        raise UserError("give a reporter or a progress function, not both")
    if reporter is not None:
        return reporter
    return LogReporter(logger) if progress is None else CallbackReporter(progress, logger)
