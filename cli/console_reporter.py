"""Progress on stderr: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .printing import one_line

if TYPE_CHECKING:
    from ..common.progress import Advance

_SLOW_STEP_S = 2.0
"""If stderr is not a terminal, a line is printed for steps that took longer than this."""


class ConsoleReporter:
    """Shows steps: bars on a terminal, one line per slow step elsewhere, nothing when silent."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._is_terminal = not silent and sys.stderr.isatty()

    @contextlib.contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Advance]:
        """Open a step."""
        start = time.monotonic()
        if self._is_terminal:
            with self._bar(title, total) as advance:
                yield advance
        else:
            yield lambda done: None
        seconds = time.monotonic() - start
        if not self._silent and (seconds > _SLOW_STEP_S or self._is_terminal):
            print(f"  {one_line(title)}: {seconds:.1f} s", file=sys.stderr)

    def note(self, text: str) -> None:
        """Print a line that the user should read."""
        if not self._silent:
            print(f"  note: {one_line(text)}", file=sys.stderr)

    @contextlib.contextmanager
    def _bar(self, title: str, total: int | None) -> Iterator[Advance]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

        # markup=False: a title may contain brackets, which rich would read as a style.
        columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
        if total:
            columns += [BarColumn(), MofNCompleteColumn()]
        console = Console(stderr=True)
        # transient: the bar disappears at the end, and `step` prints one line in its place.
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(one_line(title), total=total)
            yield lambda done: progress.update(task, completed=done)
