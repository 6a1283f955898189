"""How far a job is, from the results that are complete."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .output_folder import Counts, OutputFolder

_INTERVAL = 1.0
"""Seconds between two looks at the output folder, at least."""
_SHARE = 20.0
"""A look that takes long, with many files on a network, is repeated after this multiple of it."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is."""

    done: int
    """Images that have a result or an error, those of earlier runs included."""
    failed: int
    """Images of these that have an error."""
    total: int
    """All images."""
    rate: float
    """Images per second of this run since the actors read; 0 if unknown."""

    @property
    def seconds_left(self) -> float | None:
        """The time until the end at the present rate; None if unknown."""
        return (self.total - self.done) / self.rate if self.rate else None


Watch = Callable[[Progress], None]
"""Called about once per second, in another thread."""


class Meter:
    """Counts complete results; images per second are counted from the first block on.

    The time of Ray's start and of opening the readers, which does not depend on the number of
    images, is not part of the rate.
    """

    def __init__(self, output: OutputFolder, total: int) -> None:
        self._output, self._total = output, total
        self._tasks: dict[str, Counts] = {}
        self.before = output.counts(self._tasks)
        self._first: tuple[float, int] | None = None

    @property
    def pages(self) -> int:
        """The number of rows that were counted."""
        return sum(counts.pages for counts in self._tasks.values())

    def look(self) -> Progress:
        """Count what is complete now."""
        counts, now = self._output.counts(self._tasks), time.monotonic()
        if self._first is None and counts.images > self.before.images:
            self._first = now, counts.images
        rate = 0.0
        if self._first is not None and now > self._first[0]:
            rate = (counts.images - self._first[1]) / (now - self._first[0])
        return Progress(done=counts.images, failed=counts.failed, total=self._total, rate=rate)


@contextlib.contextmanager
def watched(meter: Meter, watch: Watch) -> Iterator[None]:
    """Call ``watch`` regularly while the block runs."""
    is_over = threading.Event()

    def report() -> None:
        taken = 0.0
        while not is_over.wait(max(_INTERVAL, _SHARE * taken)):
            begin = time.monotonic()
            with contextlib.suppress(OSError):  # a file that another machine writes just now
                watch(meter.look())
            taken = time.monotonic() - begin

    thread = threading.Thread(target=report, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
