"""Progress of long jobs. The command line shows it; programs may ignore it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

Advance = Callable[[int], None]
"""Called with the number of units done so far."""


class Reporter(Protocol):
    """Receives the steps of a job."""

    def step(self, title: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Open a step of ``total`` units (None: unknown); the block gets the advance callback."""

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
