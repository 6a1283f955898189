"""Whether an object is open, and the calls that use it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import ClosedError

_AT_EXIT = 10.0
"""Seconds that the end of the interpreter waits for calls of daemon threads."""


class OpenState:
    """Counts the calls that use an object, so that closing it waits for them. Thread-safe.

    Args:
        name: of the object in messages, such as "the reader".
        advice: what to do after it was closed.
    """

    def __init__(self, name: str, advice: str = "open it again") -> None:
        self._name, self._advice, self._process = name, advice, os.getpid()
        # A Condition has an RLock, so a signal handler may call `close` while its thread has it.
        self._state, self._own = threading.Condition(), threading.local()
        self._calls = 0
        self._deferred: Callable[[], None] | None = None  # for the end of the last call
        self._releasing: int | None = None  # the thread that calls `release`
        self._is_released = self._is_exiting = False
        self.is_closed = False
        """Whether :meth:`close` was called."""

    def check(self) -> None:
        """Check that the object can be used.

        Raises:
            ClosedError: it is closed, or this process was forked after it was opened.
        """
        if self.is_closed:
            raise ClosedError(f"{self._name} is closed; {self._advice}")
        if self._is_of_another_process():
            # The threads of the runtimes exist in the first process only: a call would never end.
            raise ClosedError(
                f"{self._name} was opened before this process was forked; open one in each process"
            )

    def _is_of_another_process(self) -> bool:
        return self._process != os.getpid()

    @property
    def _depth(self) -> int:
        """How many blocks of :meth:`in_use` and :meth:`continued` this thread is in."""
        return getattr(self._own, "depth", 0)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the object open for a block. Blocks may be nested.

        Raises:
            ClosedError: as :meth:`check`.
        """
        if self._depth:  # the outer block keeps it open
            yield
            return
        # The depth is set first: if a signal handler closes the object from here on, it must not
        # wait for this thread.
        with self.continued():
            self.begin()
            try:
                yield
            finally:
                self.end()

    @contextmanager
    def continued(self) -> Iterator[None]:
        """Continue, in this thread, a call that :meth:`begin` counted."""
        self._own.depth = self._depth + 1
        try:
            yield
        finally:
            self._own.depth -= 1
            self._release_if_due()

    def begin(self) -> None:
        """Count a call, which another thread may :meth:`end`.

        Raises:
            ClosedError: as :meth:`check`.
        """
        with self._state:
            if not self._is_exiting:
                self.check()
                self._calls += 1
                return
        while threading.current_thread().daemon:  # until the interpreter ends this thread
            time.sleep(3600)
        raise ClosedError(f"{self._name} cannot be used while the interpreter ends")

    def exit(self) -> None:
        """Wait for calls that run, because the interpreter ends; later ones do not begin.

        Without this, the interpreter would end daemon threads in native code, which would abort
        the process.
        """
        if self._is_of_another_process():
            return
        with self._state:
            self._is_exiting = True
            self._state.wait_for(lambda: self._calls == 0, _AT_EXIT)

    def end(self) -> None:
        """End a call that :meth:`begin` counted."""
        with self._state:
            self._calls -= 1
            self._state.notify_all()
        self._release_if_due()

    def close(self, release: Callable[[], None]) -> None:
        """Refuse further calls, wait for those that run, and free the resources.

        In a thread that is itself in a call, such as in a signal handler, the end of the last call
        frees them: waiting for it here would never end. In a process that was forked after the
        object was opened, this does nothing: the resources belong to the first process.

        Args:
            release: frees the resources. It is called once, while no call is running.
        """
        if self._is_of_another_process():
            return
        with self._state:
            self.is_closed = True
            if self._depth:
                self._deferred = release
                return
            self._state.wait_for(lambda: self._calls == 0)
        self._release_once(release)

    def _release_if_due(self) -> None:
        release = self._deferred
        if release is not None and not self._depth:
            with self._state:
                is_due = self._calls == 0
            if is_due:
                self._release_once(release)

    def _release_once(self, release: Callable[[], None]) -> None:
        """Free the resources, or wait until another thread has freed them."""
        me = threading.get_ident()
        with self._state:
            if self._releasing is not None:
                self._state.wait_for(lambda: self._is_released or self._releasing == me)
                return
            self._releasing = me
        try:
            release()
        finally:
            with self._state:
                self._is_released = True
                self._state.notify_all()
