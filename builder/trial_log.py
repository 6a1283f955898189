"""Measurements on disk, from which a search continues after an interruption."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Generic, TypeVar

from ..common.files import check_file_destination
from ..common.frozen_model import StrictModel
from ..common.read_file import read_limited
from ..errors import InputFileError, OutputError

_LARGEST_LOG = 1 << 26  # bytes
_LONGEST_LINE = 1 << 20
"""Characters of a line that are read from a log; longer lines are damaged."""


class LogRecord(StrictModel):
    """One measurement."""

    key: str
    """SHA-256 of everything that the measurement depends on."""


Record = TypeVar("Record", bound=LogRecord)


class TrialLog(Generic[Record]):
    """A file with one record per line.

    Lines that cannot be read are ignored: a damaged record costs a measurement, not the search.

    Args:
        path: the file; it need not exist.
        kind: the type of its records.

    Raises:
        OutputError: the folder cannot be written, or something other than a file is in its place.
    """

    def __init__(self, path: Path, kind: type[Record]) -> None:
        check_file_destination(path)
        if path.is_symlink():  # records would be appended to another file
            raise OutputError(f"{path}: is a link, expected a file of trials; remove it")
        self._path, self._records = path, dict[str, Record]()
        data = b""
        with contextlib.suppress(InputFileError):
            data = read_limited(path, limit=_LARGEST_LOG, what="a log of trials")
        for line in data.decode("utf-8", "replace").splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                record = kind.model_validate(json.loads(line[:_LONGEST_LINE]))
                self._records[record.key] = record
        # A process that was killed may have written the beginning of a record.
        self._gap = "\n" if data and not data.endswith(b"\n") else ""

    def get(self, key: str) -> Record | None:
        """Return the record of a key; None if it was not measured."""
        return self._records.get(key)

    def add(self, record: Record) -> None:
        """Add a record and write it at once; a full disk does not end a search."""
        self._records[record.key] = record
        with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(f"{self._gap}{record.model_dump_json()}\n")
            self._gap = ""

    def remove(self) -> None:
        """Remove the file after the search."""
        self._path.unlink(missing_ok=True)
