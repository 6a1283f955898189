"""Progress on stderr: bars on a terminal, lines elsewhere, such as in a log file."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..common.progress import heartbeat
from .printing import one_line

if TYPE_CHECKING:
    from ..common.progress import Advance

_SLOW_STEP_S = 2.0
"""If stderr is not a terminal, the end of a step is printed if it took longer than this."""


class ConsoleReporter:
    """Shows steps: bars on a terminal, lines elsewhere, nothing when silent.

    Elsewhere, each step has a line when it starts, one every 30 seconds, and one when it ends.
    Steps inside another step are not shown.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._is_terminal = not silent and sys.stderr.isatty()
        self._is_open = False

    @contextlib.contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Advance]:
        """Open a step."""
        if self._silent or self._is_open:
            yield lambda done: None
            return
        self._is_open = True
        try:
            with self._shown(title, total) as advance:
                yield advance
        finally:
            self._is_open = False

    @contextlib.contextmanager
    def _shown(self, title: str, total: int | None) -> Iterator[Advance]:
        """Show a step, and how long it took if it ends without an error."""
        start = time.monotonic()
        if self._is_terminal:
            with self._bar(title, total) as advance:
                yield advance
        else:
            name = one_line(title)
            self._print(f"{name} ...")
            with heartbeat(lambda text: self._print(f"{name}: {text}"), total) as advance:
                yield advance
        seconds = time.monotonic() - start
        if seconds > _SLOW_STEP_S or self._is_terminal:
            self._print(f"{one_line(title)}: {seconds:.1f} s")

    def note(self, text: str) -> None:
        """Print a line that the user should read."""
        if not self._silent:
            self._print(f"note: {one_line(text)}")

    def _print(self, text: str) -> None:
        # Flushed, because a log file is read while the command runs.
        print(f"  {text}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def _bar(self, title: str, total: int | None) -> Iterator[Advance]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        # markup=False: a title may contain brackets, which rich would read as a style.
        columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
        if total:
            columns += [BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
        columns.append(TimeElapsedColumn())
        console = Console(stderr=True)
        # transient: the bar disappears at the end, and `step` prints one line in its place.
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(one_line(title), total=total)
            yield lambda done: progress.update(task, completed=done)
