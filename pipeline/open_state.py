"""Whether a reader is open, and the calls that use it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from ..errors import ReaderClosedError


class OpenState:
    """Counts the calls that use a reader, so that closing it can wait for them. Thread-safe."""

    def __init__(self) -> None:
        self._state, self._process = Condition(), os.getpid()
        self._calls, self.is_closed = 0, False

    def check(self) -> None:
        """Check that the reader can be used.

        Raises:
            ReaderClosedError: it is closed, or this process was forked after it was opened.
        """
        if self.is_closed:
            raise ReaderClosedError("the reader is closed; open another one with open_reader")
        if self._is_of_another_process():
            # The threads of the engines exist in the first process only: a read would never end.
            raise ReaderClosedError(
                "the reader was opened before this process was forked; open one in each process"
            )

    def _is_of_another_process(self) -> bool:
        return self._process != os.getpid()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the reader open for a block.

        Raises:
            ReaderClosedError: as :meth:`check`.
        """
        with self._state:
            self.check()
            self._calls += 1
        try:
            yield
        finally:
            with self._state:
                self._calls -= 1
                self._state.notify_all()

    def close(self) -> bool:
        """Refuse further calls and wait for those that run; return whether to free resources."""
        if self._is_of_another_process():
            return False  # the resources belong to the first process
        with self._state:
            self.is_closed = True
            self._state.wait_for(lambda: self._calls == 0)
        return True
