"""Measurements on disk, by what was measured, so that a search that was stopped goes on."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..common.files import check_writable
from ..engines.manifest import OcrMetric

_LONGEST = 1 << 16
"""Characters of a line."""


class Entry(BaseModel):
    """One candidate, measured. ``key`` is the SHA-256 of everything that it depends on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    metric: OcrMetric | None
    distance: float


class Ledger:
    """A file of entries, one JSON text a line; lines that make no sense are passed over.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        check_writable(path.parent)
        self._path, self._known = path, dict[str, Entry]()
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for line in path.read_text("utf-8").splitlines():
                with contextlib.suppress(ValidationError, ValueError, RecursionError):
                    entry = Entry.model_validate(json.loads(line[:_LONGEST]))
                    self._known[entry.key] = entry

    def get(self, key: str) -> Entry | None:
        """Return what is known under a key."""
        return self._known.get(key)

    def add(self, entry: Entry) -> None:
        """Remember an entry, at once on disk too; a full disk does not end a search."""
        self._known[entry.key] = entry
        with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(entry.model_dump_json() + "\n")

    def remove(self) -> None:
        """Remove the file: the search is done."""
        self._path.unlink(missing_ok=True)
