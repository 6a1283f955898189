"""The time limit of the steps of a build, also for code that has no time limit of its own.

A watchdog thread raises an exception inside the thread that converts. So tf2onnx, onnxscript and
every pass can be interrupted between two steps of Python code, in any thread, without signals, and
other threads keep running. Native code cannot be interrupted: the exception arrives when it
returns. If it does not return, the watchdog thread itself ends with the error; ``threading``
reports it, and the command line ends the process (``cli.app``).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from ..errors import ConversionError, UserError

VARIABLE = "OCR_TRT_CONVERT_SECONDS"
_DEFAULT = 600.0  # the largest model of the zoo takes about 10 s
_RETRY = 5.0
"""Seconds after which the exception is raised again, because some code caught it."""
_GRACE = 60.0
"""Seconds that native code has to return."""

T = TypeVar("T")


class OutOfTimeError(BaseException):
    """Raised by the watchdog. Not an Exception, which the code that converts might catch."""


def seconds_allowed() -> float:
    """Return the time limit of a conversion in seconds: the environment's, or else 600; 0: none.

    Raises:
        UserError: ``OCR_TRT_CONVERT_SECONDS`` is not a number of seconds.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        seconds = float(text) if text else _DEFAULT
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise UserError(f"{VARIABLE}: expected a number of seconds, 0 for no limit, got {text!r}")
    return seconds


class TimeLimit:
    """Runs a function with a time limit. ``step`` is what it does at the moment, for the error."""

    def __init__(
        self,
        seconds: float,
        *,
        grace: float = _GRACE,
        retry: float = _RETRY,
        what: str = "the conversion",
    ) -> None:
        self._seconds, self._grace, self._retry = seconds, grace, min(retry, grace)
        self._what = what
        self.step = "start"

    def run(self, function: Callable[[], T]) -> T:
        """Call a function in this thread.

        Raises:
            ConversionError: it took longer than the limit; names the step.
        """
        if not self._seconds:
            return function()
        watchdog = _Watchdog(self, threading.get_ident())
        try:
            try:
                watchdog.start()
                return function()
            finally:
                watchdog.stop()
        except OutOfTimeError:
            watchdog.stop()  # again: the exception may have interrupted the first call
            raise self.error() from None

    def wait(self, done: threading.Event) -> bool:
        """Wait for the end or for the limit; return whether the end came first."""
        return done.wait(self._seconds)

    def wait_again(self, done: threading.Event) -> bool:
        """Wait for code that was interrupted; return whether it ended.

        Raises:
            ConversionError: it did not end within the grace period.
        """
        ended = done.wait(self._retry)
        self._grace -= self._retry
        if not ended and self._grace <= 0:
            raise self.error(", and the current step cannot be interrupted")
        return ended

    def error(self, more: str = "") -> ConversionError:
        """Return the error about a conversion that takes too long."""
        return ConversionError(
            f"{self._what} takes longer than {self._seconds:g} s{more}. The current step is "
            f"{self.step}. Set {VARIABLE} to more seconds (0: no limit), or end the model before "
            "the layers that take so long (output.name in the spec)"
        )


class _Watchdog(threading.Thread):
    """Interrupts a thread when its time is up."""

    def __init__(self, limit: TimeLimit, thread: int) -> None:
        super().__init__(name="time limit of a conversion", daemon=True)
        self._limit, self._thread = limit, ctypes.c_ulong(thread)
        self._done, self._lock = threading.Event(), threading.Lock()

    def run(self) -> None:
        """Wait, and interrupt the thread until it has ended."""
        if self._limit.wait(self._done):
            return
        while True:
            with self._lock:
                if self._done.is_set():
                    return
                raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
                raise_in(self._thread, ctypes.py_object(OutOfTimeError))
            if self._limit.wait_again(self._done):
                return

    def stop(self) -> None:
        """End the watchdog. After this call it raises nothing in the thread."""
        with self._lock:
            self._done.set()
            # Withdraw an exception that has been set, but not yet raised.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(self._thread, None)
