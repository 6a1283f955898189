"""The view model of all reports: a section with its texts, plot, tables and figures.

A stage builds each section once. The terminal prints its tables, and templates render it as
Markdown (``section.md.jinja``) or HTML (``section.html.jinja``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Column = Literal["number", "text", "long"]
_LONG = 40
"""Characters: only columns with a cell of at least this length may wrap."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as text, one tuple per row. The first column names the row."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """Sentences that explain the columns."""
    key: str = ""
    """The name of the most important column; it is bold in HTML."""
    good: str = ""
    """Cells with this text are green in HTML."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The kind of each column: numbers are aligned at the right, and only long texts wrap."""
        return tuple(self._column(index) for index in range(len(self.header)))

    def _column(self, index: int) -> Column:
        cells = [row[index] for row in self.rows]
        # A number begins with a digit or a sign; "-" stands for a value that was not measured.
        is_number = any(cells) and all(c[:1].isdigit() or c[:1] in ("", "+", "-") for c in cells)
        if index and is_number:
            return "number"
        return "long" if max(map(len, cells), default=0) >= _LONG else "text"


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot that is drawn when a page needs it."""

    draw: Callable[[], str]
    """Returns SVG."""
    words: str
    """What the plot shows, for readers who cannot see it."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """An image with a name and lines of text below it."""

    image: str
    """A data URI."""
    name: str
    lines: tuple[tuple[str, str], ...]
    """Pairs of a heading and a text."""
    label: str = ""
    level: str = ""
    """The class of the label: "worse", "better" or "neither"."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """The content below one heading of a report, in the order of the fields."""

    title: str
    lead: str = ""
    """The sentence that a reader should see first."""
    texts: tuple[str, ...] = ()
    plot: Plot | None = None
    caption: str = ""
    """A sentence below the plot."""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    """Only in HTML."""
    figures_text: str = ""
    """A sentence above the figures."""


def table_section(table: Table, plot: Plot | None = None) -> Section:
    """Return a section with one table and its title."""
    return Section(title=table.title, tables=(table,), plot=plot)


def markdown_table(table: Table) -> str:
    """Return a table in GitHub's Markdown."""
    lines = ["---:" if column == "number" else "---" for column in table.columns]
    rows = (table.header, tuple(lines), *table.rows)
    return "\n".join(f"| {' | '.join(map(_markdown_cell, row))} |" for row in rows)


def _markdown_cell(text: str) -> str:
    # A bar would begin a new cell, and a line break would end the table.
    return " ".join(text.split()).replace("|", "\\|")
