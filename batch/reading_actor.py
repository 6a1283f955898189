"""The actor that reads blocks of images with a reader of its own."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..common.path_text import path_text
from ..errors import InputFileError, OcrTrtError, UserError
from ..ocr.image import ImageFile, open_image
from ..pipeline.any_reader import Reader
from ..pipeline.open_reader import open_reader
from ..pipeline.pages import Page, pages_of
from ..pipeline.read_result import ReadResult
from ..pipeline.reader import ReadSettings
from ..pipeline.sample_page import page_of_text
from ..pipeline.workers import in_order
from .attempts import Attempt, Attempts
from .table_schema import result_schema

_LONGEST_ERROR = 2000  # characters
_PAGE_PIXELS = 640 * 640


@dataclass(frozen=True, kw_only=True)
class ReaderOptions:
    """How an actor opens its reader. The paths are absolute, and equal on all machines."""

    detector: Path | None
    recognizer: Path
    threads: int
    """CPU threads, and batches that run at once."""
    settings: ReadSettings
    is_trusted: bool
    has_polygons: bool
    """Whether the detector returns polygons."""
    folders: tuple[Path, ...]
    """Folders that every machine must see: those of the images and of the output."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    """An image of a block: its id, its path, and its content if that is in the table."""

    id: str
    path: bytes | None
    content: bytes | None

    @property
    def name(self) -> str | None:
        """The path as text; bytes that are not UTF-8 are escaped."""
        return None if self.path is None else path_text(self.path)

    def opened(self, dpi: int) -> ImageFile:
        """Open the image.

        Raises:
            InputFileError: there is none, or it cannot be opened.
        """
        if self.content is not None:
            return open_image(self.content, self.name or self.id, dpi=dpi)
        if self.path is None:
            raise InputFileError(f"{self.id}: the row has neither a path nor the content of a file")
        if b"://" in self.path:
            raise InputFileError(f"{self.name}: is a URL; copy the file to shared storage first")
        path = Path(os.fsdecode(self.path))
        try:
            # A named pipe would block the actor.
            if not stat.S_ISREG(path.stat().st_mode):
                raise InputFileError(f"{self.name}: not a regular file")
        except OSError as error:
            raise InputFileError(f"{self.name}: cannot be read: {error.strerror}") from None
        except ValueError as error:  # the path contains a null byte
            raise InputFileError(f"{self.name}: cannot be read: {error}") from None
        return open_image(path, dpi=dpi)


def _row(block: pa.Table, position: int) -> _Row:
    # Not all rows at once: each may have the content of a file.
    (values,) = block.slice(position, 1).to_pylist()
    return _Row(**values)


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """A page of an image, or why there is none."""

    row: _Row
    page: int
    result: ReadResult | None = None
    error: Exception | None = None


class ReadingActor:
    """Reads blocks of rows of ``pieces.ROW_SCHEMA``; Ray Data calls it in a process of its own."""

    def __init__(self, options: ReaderOptions, attempts: Attempts) -> None:
        for folder in options.folders:
            if not folder.is_dir():
                raise InputFileError(
                    f"{folder}: does not exist on the machine {os.uname().nodename}; every machine "
                    "must see the images, the bundles and the output at the same paths"
                )
        self._reader: Reader = open_reader(
            options.detector,
            options.recognizer,
            mode="throughput",
            streams=options.threads,
            threads=options.threads,
            settings=options.settings,
            is_trusted=options.is_trusted,
        )
        self._dpi = options.settings.dpi
        self._schema = result_schema(has_polygons=options.has_polygons)
        self._attempts = attempts

    def __call__(self, block: pa.Table) -> pa.Table:
        """Read the images of a block; return one row of ``result_schema()`` per page.

        Raises:
            Exception: no image of the block could be read, and the reader cannot read any other
                image either.
        """
        ids = block["id"].to_pylist()
        with self._attempts.begin(ids) as attempt:
            if attempt.is_careful:
                outcomes = [
                    outcome
                    for position in range(len(block))
                    for outcome in self._read_alone(block, position, attempt)
                ]
            else:
                outcomes = list(self._read(block))
        self._check(outcomes)
        return pa.Table.from_pylist([_values(each) for each in outcomes], schema=self._schema)

    def _read_alone(self, block: pa.Table, position: int, attempt: Attempt) -> list[_Outcome]:
        """Read one image of a block that killed this process before."""
        alone = block.slice(position, 1)
        if attempt.is_fatal(position):
            row = _row(alone, 0)
            error = UserError(
                f"{row.name or row.id}: the process died whenever it read this image, because a "
                "library crashed or there was not enough memory; read it with `ocr-trt run` to "
                "find out which"
            )
            return [_Outcome(row=row, page=1, error=error)]
        with attempt.reading(position):
            return list(self._read(alone))

    def _read(self, block: pa.Table) -> Iterator[_Outcome]:
        """Read several images at once; yield the pages in order."""

        def one(_: int, item: tuple[_Row, Page | Exception] | Exception) -> _Outcome:
            assert not isinstance(item, Exception)
            row, page = item
            if isinstance(page, Exception):
                return _Outcome(row=row, page=1, error=page)
            if page.error is not None:
                return _Outcome(row=row, page=page.page, error=page.error)
            try:
                result = self._reader.read(page.source, page=page.page)
            except Exception as error:  # one image must not end the job
                return _Outcome(row=row, page=page.page, error=error)
            return _Outcome(row=row, page=page.page, result=result)

        yield from in_order(one, range(self._reader.workers), self._pages(block))

    def _pages(self, block: pa.Table) -> Iterator[tuple[_Row, Page | Exception]]:
        for position in range(len(block)):
            row = _row(block, position)
            try:
                for page in pages_of([row.opened(self._dpi)], self._dpi):
                    yield row, page
            except Exception as error:
                yield row, error

    def _check(self, outcomes: list[_Outcome]) -> None:
        """Refuse a block in which every image failed because the reader does not work any more.

        Its images would get errors although they are fine. But if the reader can read another page
        of text, the images are the reason: another attempt would end in the same way.
        """
        errors = [each.error for each in outcomes]
        first = errors[0] if errors else None
        if first is None or any(each is None or isinstance(each, UserError) for each in errors):
            return
        try:
            self._reader.read(page_of_text(_PAGE_PIXELS))
        except Exception:
            raise first from None


def _values(outcome: _Outcome) -> dict[str, Any]:
    """Return a row of ``result_schema()``."""
    row, result, error = outcome.row, outcome.result, outcome.error
    values: dict[str, Any] = {"id": row.id, "path": row.name, "page": outcome.page}
    if result is not None:
        facts = result.to_dict()
        values |= {name: facts[name] for name in ("pages", "width", "height", "lines", "warnings")}
        values["text"] = result.text
    if error is not None:
        text = str(error) if isinstance(error, OcrTrtError) else f"{type(error).__name__}: {error}"
        values |= {"error": text[:_LONGEST_ERROR], "error_type": type(error).__name__}
    return values
