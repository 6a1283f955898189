"""A reporter that shows each note once: every build of a model repeats the same ones."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ...common.progress import Advance, Reporter


class NotesOnce:
    """Passes on the steps and notes of a long job, except notes that were shown before."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter, self._shown = reporter, set[str]()

    def step(self, title: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Open a step."""
        return self._reporter.step(title, total)

    def note(self, text: str) -> None:
        """Show a line, unless it was shown before."""
        if text not in self._shown:
            self._shown.add(text)
            self._reporter.note(text)
