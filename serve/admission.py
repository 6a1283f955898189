"""Accept or refuse requests: the queue holds the images that can be read within ``max_wait``."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .problems import ServiceError

_WEIGHT = 1 / 16
"""Share of the newest sample in the moving average of the seconds per image."""


class Admission:
    """Counts the images that wait and those in progress. For the thread of the event loop only.

    The queue may hold capacity x ``max_wait`` images. Capacity is measured: it is the rate at which
    images are read while all workers are busy.

    Args:
        workers: how many images are read at once.
        max_wait: how long an image may wait, in seconds.
    """

    def __init__(self, workers: int, max_wait: float) -> None:
        self._workers, self._max_wait = workers, max_wait
        self.waiting, self.in_flight = 0, 0
        self._seconds_per_image = 0.0
        self._busy_since = 0.0  # the last moment that began an interval with all workers busy
        self._busy = 0.0  # seconds with all workers busy since an image was read

    @property
    def capacity(self) -> float:
        """Images per second while all workers are busy; 0: not measured yet."""
        return 1 / self._seconds_per_image if self._seconds_per_image else 0.0

    @property
    def limit(self) -> int:
        """How many images may wait; at least four per worker, so that short bursts are accepted."""
        return max(4 * self._workers, int(self.capacity * self._max_wait))

    @contextmanager
    def ticket(self, images: int = 1) -> Iterator[Ticket]:
        """Put the images of a request into the queue; when the block ends, remove those not begun.

        Raises:
            ServiceError: overloaded; it states when to try again.
        """
        ticket = Ticket(self)
        ticket.add(images)
        try:
            yield ticket
        finally:
            self.waiting -= ticket.waiting

    def check(self, images: int, own: int) -> None:
        """Check that more images may wait; ``own`` images of the same request already do.

        More images than the limit are accepted only if no other request waits, so that a long
        document can be read at all, also in a batch.

        Raises:
            ServiceError: overloaded; it states when to try again.
        """
        if self.waiting > own and self.waiting + images > self.limit:
            wait = self.waiting / self.capacity if self.capacity else self._max_wait
            raise ServiceError(
                "overloaded",
                f"the queue is full: {self.waiting} images wait, and at most {self.limit} may; try "
                "again later",
                retry_after=max(1, math.ceil(wait)),
            )

    def begin(self) -> float:
        """Count an image that a worker begins; return the time, for :meth:`end`."""
        now = time.monotonic()
        self.in_flight += 1
        if self.in_flight == self._workers:
            self._busy_since = now
        return now

    def end(self, began: float, *, is_read: bool) -> None:
        """Remove an image from those in progress, and measure the capacity.

        Args:
            began: what :meth:`begin` returned for it.
            is_read: whether its text was read. Files that are no image, documents that were only
                opened and previews take much less time, so they are no samples.
        """
        now = time.monotonic()
        is_busy = self.in_flight == self._workers
        if is_busy:
            self._busy += now - self._busy_since
            self._busy_since = now
        if is_read:
            if is_busy:
                # No more than its own time: the workers may have done much else before it.
                self._add_sample(min(self._busy, now - began))
            self._busy = 0.0
        self.in_flight -= 1

    def _add_sample(self, seconds: float) -> None:
        old = self._seconds_per_image
        self._seconds_per_image = old + _WEIGHT * (seconds - old) if old else seconds


class Ticket:
    """The images of one request that wait."""

    def __init__(self, admission: Admission) -> None:
        self._admission, self.waiting = admission, 0

    def add(self, images: int) -> None:
        """Let further images wait.

        Raises:
            ServiceError: overloaded.
        """
        self._admission.check(images, own=self.waiting)
        self._admission.waiting += images
        self.waiting += images

    def begin(self) -> float:
        """Move an image from the queue to those in progress; return when, for `Admission.end`."""
        self._admission.waiting -= 1
        self.waiting -= 1
        return self._admission.begin()
