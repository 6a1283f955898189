"""So many at a time, first come, first served."""

from __future__ import annotations

from collections import deque
from threading import Lock


class Turns:
    """A semaphore that no late comer overtakes others at, as they may at ``threading``'s."""

    def __init__(self, places: int) -> None:
        self._free, self._waiting, self._lock = places, deque[Lock](), Lock()

    def acquire(self) -> None:
        """Take a place; waits until all who came before have had one, and one is free."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            turn.acquire()
        except BaseException:  # interrupted: let nobody wait for one who is gone
            with self._lock:
                is_waiting = turn in self._waiting
                if is_waiting:
                    self._waiting.remove(turn)
            if not is_waiting:
                self.release()
            raise

    def release(self) -> None:
        """Give a place back: it goes to whoever waits longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
