"""A semaphore that serves waiting threads in order of arrival."""

from __future__ import annotations

from collections import deque
from threading import Lock


class FairSemaphore:
    """A first-in, first-out semaphore.

    With ``threading.Semaphore``, a thread that has just arrived may overtake waiting threads.
    """

    def __init__(self, places: int) -> None:
        self._free, self._waiting, self._lock = places, deque[Lock](), Lock()

    def acquire(self) -> None:
        """Take a place. Waits until a place is free and all earlier callers have had one."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = Lock()  # locked until ``release`` unlocks it
            turn.acquire()
            self._waiting.append(turn)
        try:
            turn.acquire()  # blocks until ``release`` hands this thread its place
        except BaseException:  # interrupted: leave the queue, or give back a place just received
            with self._lock:
                # False if ``release`` has removed it: then this thread owns a place already.
                is_waiting = turn in self._waiting
                if is_waiting:
                    self._waiting.remove(turn)
            if not is_waiting:
                self.release()
            raise

    def release(self) -> None:
        """Give a place back; the thread that has waited longest gets it."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
