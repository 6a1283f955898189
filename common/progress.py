"""Progress of long jobs. The command line shows it; programs may ignore it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

Advance = Callable[[int], None]
"""Called with the number of units done so far."""


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


class LogReporter:
    """Writes steps (INFO) and notes (WARNING) to a logger; for programs without a reporter."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    @contextlib.contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Advance]:
        """Log the beginning of a step."""
        self._logger.info("%s", title)
        yield lambda done: None

    def note(self, text: str) -> None:
        """Log the line."""
        self._logger.warning("%s", text)
