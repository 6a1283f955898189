"""Results on stdout: JSON, or tables, which have lines on a terminal only."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..common.progress import Reporter
    from ..ocr.dataset import Dataset
    from ..report.sections import Table


_LONGEST = 2000  # characters of an error


def print_json(data: Any) -> None:
    """Print data as JSON, without any character that a terminal executes."""
    sys.stdout.write(json_text(data))


def json_text(data: Any) -> str:
    """Return data as JSON with a line end, without any character that a terminal executes."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    # json escapes only those below U+0020; others remain, such as U+009B and U+202E.
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text) + "\n"


def plain(text: str) -> str:
    """Escape the control characters of a text, so that a terminal does not execute them."""
    # ascii() returns an escape such as '\x1b', in quotes.
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """Return a text of any origin as one line of bounded length, for an error or a note."""
    return plain(shortened(text, _LONGEST).replace("\n", " "))


def shortened(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of a text, and dots if there are more."""
    return text if len(text) <= limit else f"{text[:limit]}..."


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; the first column is a name, and numbers are aligned at the right."""
    from ..report.sections import Table

    body = (("" if cell is None else plain(str(cell)) for cell in row) for row in rows)
    table = Table(title=title, header=tuple(header), rows=tuple(map(tuple, body)))
    if sys.stdout.isatty():
        _print_lined(table)
    else:
        _print_plain(table)


def print_box(title: str, lines: Sequence[str], commands: Sequence[str] = ()) -> None:
    """Print a conclusion and commands: between rules on a terminal, else as indented lines."""
    if not sys.stdout.isatty():
        for text in (title, *(f"  {line}" for line in (*lines, *commands))):
            print(plain(text))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    # Text: a path may contain brackets, which rich would parse.
    console.rule(Text(plain(title), style="bold"), align="left")
    for line in lines:
        console.print(Text(plain(line)))
    for command in commands:
        print(plain(command))  # not wrapped and without a border, so that it can be pasted
    console.rule()


def _print_lined(table: Table) -> None:
    """Print a table with lines; cells are wrapped so that it fits the terminal."""
    from rich import table as rich_table
    from rich.console import Console
    from rich.text import Text

    shown = rich_table.Table(
        title=Text(table.title), title_justify="left", title_style="bold", header_style=""
    )
    # fold: a long path continues on the next line; rich would cut it off by default.
    for name, column in zip(table.header, table.columns, strict=True):
        shown.add_column(name, justify="right" if column == "number" else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*map(Text, row))  # Text: a cell may contain brackets, which rich would parse
    Console(highlight=False).print(shown)


def _print_plain(table: Table) -> None:
    """Print one line per row, for files and for programs such as grep and awk."""
    from rich.cells import cell_len  # counts a Chinese character as two

    padded = []  # one list of cells per column, all of the same width
    columns = zip(table.header, *table.rows, strict=True)
    for kind, column in zip(table.columns, columns, strict=True):
        cells = [cell.replace("\n", " ") for cell in column]
        width = max(map(cell_len, cells))
        gaps = [" " * (width - cell_len(cell)) for cell in cells]
        padded.append(
            [g + c if kind == "number" else c + g for c, g in zip(cells, gaps, strict=True)]
        )
    print(table.title)
    for line in zip(*padded, strict=True):
        print(f"  {'  '.join(line)}".rstrip())


def note_left_out(dataset: Dataset | None, reporter: Reporter) -> None:
    """Report what of a folder of samples is not used, and why."""
    for note in dataset.notes if dataset is not None else ():
        reporter.note(note)
