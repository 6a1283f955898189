"""Printing: tables on stdout, progress on stderr, plain lines where nobody watches."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..report.sections import Table

if TYPE_CHECKING:
    from ..common.progress import Advance

_SLOW = 2.0  # seconds after which a finished step is worth a line


def quiet_libraries(*, verbose: bool) -> None:
    """Keep chatty libraries off the screen."""
    if not verbose:
        logging.disable(logging.WARNING)


def print_json(data: Any) -> None:
    """Print data as JSON."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def plain(text: str) -> str:
    """Return a text whose control characters, which a terminal would obey, are spelled out."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; the first column is a name, and numbers are aligned at the right."""
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    body = (("" if cell is None else plain(str(cell)) for cell in row) for row in rows)
    table = Table(title=title, header=tuple(header), rows=tuple(map(tuple, body)))
    shown = RichTable(title=Text(title), title_justify="left", title_style="bold", header_style="")
    for index, (name, column) in enumerate(zip(table.header, table.columns, strict=True)):
        justify: Literal["left", "right"] = "right" if column == "number" else "left"
        shown.add_column(name, justify=justify, overflow="fold", no_wrap=index == 0)
    for row in table.rows:
        shown.add_row(*map(Text, row))  # Text: a cell may contain rich's markup in brackets
    width = None if sys.stdout.isatty() else 132
    Console(width=width, highlight=False).print(shown)


class ConsoleReporter:
    """Shows steps: bars on a terminal, one line per slow step elsewhere, nothing when silent."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._watched = not silent and sys.stderr.isatty()

    @contextlib.contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Advance]:
        """Open a step."""
        start = time.monotonic()
        if self._watched:
            with self._bar(title, total) as advance:
                yield advance
        else:
            yield lambda done: None
        seconds = time.monotonic() - start
        if not self._silent and (seconds > _SLOW or self._watched):
            print(f"  {title}: {seconds:.1f} s", file=sys.stderr)

    def note(self, text: str) -> None:
        """Say one line that the user should read."""
        if not self._silent:
            print(f"  note: {text}", file=sys.stderr)

    @contextlib.contextmanager
    def _bar(self, title: str, total: int | None) -> Iterator[Advance]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

        columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
        if total:
            columns += [BarColumn(), MofNCompleteColumn()]
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(title, total=total)
            yield lambda done: progress.update(task, completed=done)
