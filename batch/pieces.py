"""The images of a job as rows of parquet files, which Ray's tasks read in pieces."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import InputFileError

Content = Literal["path", "bytes", "both"]
"""What an image column contains: paths, the content of files, or a struct of both."""

ROW_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        ("path", pa.binary()),  # bytes, because names of files need not be UTF-8
        ("content", pa.large_binary()),
    ]
)
"""The rows that the readers get. ``path`` is absolute; ``content`` is the file, if it is there."""

_LARGEST = 256 << 20
"""Bytes of a piece, before compression, that are in memory at once."""
_ROWS = 256
"""Rows that are decoded at once."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Consecutive rows of a row group, which one task reads."""

    file: str
    """The absolute path of the parquet file."""
    name: str
    """The name of the file in the ids of its rows."""
    row_group: int
    skip: int
    """Rows of the row group that come before the piece."""
    rows: int
    first: int
    """The number of the first row in the file, counted from 0."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where a row of a parquet file has its id and its image."""

    image: str
    content: Content
    id: str | None = None
    """None: the id is the name of the file and the number of the row."""

    @property
    def names(self) -> list[str]:
        """The columns that are read."""
        return list(dict.fromkeys(name for name in (self.id, self.image) if name is not None))


def pieces_of(file: Path, name: str) -> list[Piece]:
    """Divide a parquet file into pieces; a large row group is several pieces.

    Raises:
        InputFileError: it cannot be read as parquet.
    """
    try:
        metadata = pq.read_metadata(file)
    except (OSError, pa.ArrowException) as error:
        raise InputFileError(f"{file}: cannot be read as parquet: {error}") from None
    pieces, first = [], 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        # A task decodes the row group up to the end of its piece, so pieces are not too small.
        size = math.ceil(group.num_rows / max(1, math.ceil(group.total_byte_size / _LARGEST)))
        for skip in range(0, group.num_rows, max(1, size)):
            rows = min(size, group.num_rows - skip)
            piece = Piece(
                file=str(file.absolute()), name=name, row_group=number, skip=skip, rows=rows,
                first=first + skip,
            )  # fmt: skip
            pieces.append(piece)
        first += group.num_rows
    return pieces


def read_piece(piece: Piece, columns: Columns, root: str) -> Iterator[pa.Table]:
    """Yield the rows of a piece as tables of ``ROW_SCHEMA``; relative paths start from ``root``."""
    with pq.ParquetFile(piece.file) as file:
        end, done = piece.skip + piece.rows, 0
        batches = file.iter_batches(_ROWS, row_groups=[piece.row_group], columns=columns.names)
        for batch in batches:
            start, done = done, done + batch.num_rows
            if done > piece.skip:
                offset = max(0, piece.skip - start)
                table = pa.Table.from_batches([batch.slice(offset, end - start - offset)])
                yield _rows(piece, table, columns, root, start + offset - piece.skip)
            if done >= end:
                return


def _rows(piece: Piece, table: pa.Table, columns: Columns, root: str, done: int) -> pa.Table:
    """Return rows of ``ROW_SCHEMA``; ``done``: how many rows of the piece come before them."""
    if columns.id is None:
        numbers = range(piece.first + done, piece.first + done + len(table))
        ids = pa.array([f"{piece.name}:{each}" for each in numbers], pa.string())
    else:
        ids = table[columns.id].cast(pa.string())
    image, content = table[columns.image], columns.content
    contents = pa.chunked_array([pa.nulls(len(table), pa.large_binary())])
    if content != "path":
        data = image if content == "bytes" else pc.struct_field(image, "bytes")
        contents = data.cast(pa.large_binary())
    paths: list[bytes | None] = [None] * len(table)
    if content != "bytes":
        named = image if content == "path" else pc.struct_field(image, "path")
        # As bytes, because Arrow does not check that strings of a file are UTF-8.
        if not pa.types.is_binary(named.type):  # those of the index are bytes
            named = named.cast(pa.string()).cast(pa.binary())
        # A path beside the content is only a name.
        is_missing = pc.is_null(contents).to_pylist()
        paths = [
            _absolute(root, path) if is_alone else _encoded(path)
            for path, is_alone in zip(named.to_pylist(), is_missing, strict=True)
        ]
    return pa.table([ids, pa.array(paths, pa.binary()), contents], schema=ROW_SCHEMA)


def _absolute(root: str, path: str | bytes | None) -> bytes | None:
    name = _encoded(path)
    if name is None:
        return None
    # A URL stays as it is, so that the error names it.
    return name if b"://" in name else os.path.join(os.fsencode(root), name)  # noqa: PTH118 - bytes


def _encoded(path: str | bytes | None) -> bytes | None:
    return None if path is None else os.fsencode(path)
