"""Ctrl-C, SIGTERM and SIGHUP: end the program soon, and leave no unfinished output behind.

The first signal raises :class:`Interrupted` in the main thread, which unwinds the ``with`` blocks
that remove unfinished output. Further signals are ignored meanwhile. If native code or another
thread does not end in time, a watching thread removes the scratch folders and ends the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE = 3.0
"""Seconds that the main thread has to end."""
_AGAIN = 0.01
"""Seconds after which a swallowed exception is raised again."""
_SHOW_CURSOR = "\x1b[?25h"  # progress bars hide it


MESSAGE = "interrupted; no incomplete output was left behind"


class Interrupted(BaseException):
    """A signal stops the program. Not a KeyboardInterrupt, which typer would catch."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number
        """As shells use it: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""


class Interruption:
    """The signal that stops the program, if any."""

    def __init__(self) -> None:
        self.number = 0
        """The first signal; 0: none."""
        self._is_raised = False

    @property
    def is_requested(self) -> bool:
        """Whether a signal arrived."""
        return self.number != 0

    def install(self) -> None:
        """Handle the signals of this process from now on; call it in the main thread."""
        # Python's handlers wait until native code returns. The number of a signal is written to
        # this pipe at once, and wakes the watching thread.
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reader,), name="signals", daemon=True).start()
        sys.unraisablehook = self._raise_again
        for each in _SIGNALS:
            # nohup ignores SIGHUP, and it must stay so.
            if each is not signal.SIGHUP or signal.getsignal(each) is signal.SIG_DFL:
                signal.signal(each, self._handle)

    def finish(self) -> None:
        """Ignore signals from now on: the command has finished, and its exit code is known.

        While Python ends, a handler could not raise an exception any more, and the default action
        would replace the exit code.
        """
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)

    def end(self, *, is_reported: bool) -> None:
        """End the process without waiting for other threads.

        At a normal exit, Python would wait for threads, and native libraries would free data that
        their threads still use.

        Args:
            is_reported: whether the message was printed already.
        """
        with contextlib.suppress(OSError, ValueError):  # stderr may be closed
            if sys.stderr.isatty():
                sys.stderr.write(_SHOW_CURSOR)
            if not is_reported:
                print(f"error: {MESSAGE}", file=sys.stderr)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(128 + self.number)

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.number = self.number or number
        if not self._is_raised:
            self._is_raised = True
            raise Interrupted(number)

    def _watch(self, reader: int) -> None:
        number = os.read(reader, 1)[0]
        time.sleep(_GRACE)
        self.number = self.number or number
        # The main thread may still run `with` blocks: from here on, nothing is created any more.
        from ..common.scratch import remove_own

        remove_own()
        if (processes := sys.modules.get("multiprocessing")) is not None:
            for process in processes.active_children():
                process.kill()
        self.end(is_reported=False)

    def _raise_again(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Repeat the signal if the exception was raised where Python drops exceptions.

        Such places are finalizers and callbacks of native code.
        """
        if not isinstance(unraisable.exc_value, Interrupted):
            sys.__unraisablehook__(unraisable)
            return
        main = threading.main_thread().ident
        assert main is not None
        self._is_raised = False
        # Later: here it would be dropped again.
        threading.Timer(_AGAIN, signal.pthread_kill, (main, self.number)).start()
