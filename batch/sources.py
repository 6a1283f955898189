"""What a job reads: a folder, a pattern, a text list, a single image, or parquet files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..common.path_text import is_text, path_text
from ..errors import InputFileError, UserError, unknown
from ..ocr.images.folder import list_images
from ..ocr.images.sniff import HEAD, is_image
from .path_id import path_id
from .pieces import Columns, Content, Piece, pieces_of

_PARQUET = b"PAR1"
"""First bytes of a parquet file."""
_INDEX_ROWS = 4096
"""Rows of a row group of the index of paths: one task lists so many images."""
_INDEX_SCHEMA = pa.schema([("id", pa.string()), ("path", pa.binary())])
_LONGEST_LINE = 1 << 16


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How a source is read."""

    recursive: bool = False
    """Whether the images in subfolders are read, too."""
    column: str = ""
    """The parquet column with images; "": the only one that can contain them."""
    id_column: str = ""
    """The parquet column with ids; "": names of files and numbers of rows are the ids."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All images of a job."""

    pieces: tuple[Piece, ...]
    columns: Columns
    root: str
    """The folder that relative paths start from."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""

    @property
    def total(self) -> int:
        """The number of images."""
        return sum(piece.rows for piece in self.pieces)


@dataclass
class _Index:
    """The rows of the index, one per image: its id and its absolute path."""

    rows: Iterable[tuple[str, str]]
    root: Path
    notes: tuple[str, ...] = ()


def open_source(source: str, options: SourceOptions, index: Path) -> Inputs:
    """Find the images of a source.

    Args:
        source: a folder of images or of parquet files; a pattern such as ``scans/**/*.tif``; a
            parquet file; an image; any other file is a list of paths, one per line.
        options: how it is read.
        index: the file to which the paths of images are written, unless the source is parquet.

    Raises:
        InputFileError: there is nothing to read, or a file cannot be read.
        UserError: a parquet file has no such column, or its ids are not unique.
    """
    files = _parquet_files(source)
    if files is not None:
        return _from_parquet(files, options)
    if options.column or options.id_column:
        option = "--column" if options.column else "--id-column"
        raise UserError(f"{source}: is not parquet, but {option} names a column of parquet files")
    found = _index_of(source, options)
    notes = (*found.notes, *_write_index(found.rows, index))
    columns = Columns(image="path", content="path", id="id")
    inputs = Inputs(
        pieces=tuple(pieces_of(index, index.name)), columns=columns, root=str(found.root),
        notes=notes,
    )  # fmt: skip
    if not inputs.total:
        raise InputFileError(f"{source}: names no images; expected one path per line")
    return inputs


def _is_pattern(source: str) -> bool:
    return glob.has_magic(source) and not os.path.lexists(source)


def _matches(pattern: str) -> list[Path]:
    # Path.glob refuses absolute patterns.
    paths = [Path(path) for path in sorted(glob.iglob(pattern, recursive=True))]  # noqa: PTH207
    files = [path.absolute() for path in paths if path.is_file()]
    if not files:
        raise InputFileError(f"{pattern}: no file matches this pattern")
    return files


def _parquet_files(source: str) -> dict[str, Path] | None:
    """Return parquet files by the name that they have in ids; None if the source is not parquet."""
    if _is_pattern(source):
        matches = _matches(source)
        if any(path.suffix != ".parquet" for path in matches):
            return None
        root = os.path.commonpath([path.parent for path in matches])
        return {path.relative_to(root).as_posix(): path for path in matches}
    path = Path(source)
    if path.is_dir():
        # As Spark and pyarrow write them; names that begin with . or _ are not data.
        files = sorted(each for each in path.glob("*.parquet") if each.name[0] not in "._")
        return {each.name: each.absolute() for each in files} or None
    return {path.name: path.absolute()} if _head(path).startswith(_PARQUET) else None


def _head(path: Path) -> bytes:
    try:
        if not path.is_file():
            what = "not a regular file" if path.exists() else "no such file or folder"
            raise InputFileError(f"{path}: {what}")
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from None


def _index_of(source: str, options: SourceOptions) -> _Index:
    if _is_pattern(source):
        files = _matches(source)
        root = Path(os.path.commonpath([path.parent for path in files]))
        return _Index(((str(path), str(path)) for path in files), root)
    path = Path(source).absolute()
    if path.is_dir():
        listed = list_images(path, recursive=options.recursive)
        # Relative ids stay valid if the folder is mounted elsewhere.
        rows = ((file.relative_to(path).as_posix(), str(file)) for file in listed.files)
        return _Index(rows, path, tuple(f"{source}: {note}" for note in listed.notes()))
    if is_image(_head(path)):
        return _Index([(path.name, str(path))], path.parent)
    return _Index(_lines(path), path.parent)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the lines of a list, and the paths in them, relative to the folder of the list."""
    # utf-8-sig: editors of Windows write a byte order mark. Names need not be UTF-8.
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for line in file:
            if "\0" in line or len(line) > _LONGEST_LINE:
                raise InputFileError(
                    f"{path}: neither an image nor parquet nor a list of paths, one per line"
                )
            if text := line.strip("\r\n"):
                yield text, os.path.join(path.parent, text)  # noqa: PTH118 - keeps absolute paths


def _write_index(rows: Iterable[tuple[str, str]], index: Path) -> Iterator[str]:
    """Write the index; yield notes. A path that is listed twice is read once."""
    seen, repeated = set[bytes](), 0
    iterator = iter(rows)
    with pq.ParquetWriter(index, _INDEX_SCHEMA, compression="zstd") as writer:
        while chunk := list(islice(iterator, _INDEX_ROWS)):
            ids, paths = [], []
            for name, path in chunk:
                key = os.fsencode(name)
                if key in seen:
                    repeated += 1
                    continue
                seen.add(key)
                ids.append(path_id(key))
                paths.append(os.fsencode(path))
            writer.write_table(pa.table([ids, pa.array(paths, pa.binary())], schema=_INDEX_SCHEMA))
    if repeated:
        what = "path that occurs" if repeated == 1 else "paths that occur"
        yield f"left out: {repeated} {what} earlier in the list"


def _from_parquet(files: dict[str, Path], options: SourceOptions) -> Inputs:
    for file in files.values():
        if not is_text(file):
            raise InputFileError(
                f"{path_text(file)}: parquet files can only be read if their path is UTF-8; rename "
                "the file or its folder"
            )
    pieces = [piece for name, file in files.items() for piece in pieces_of(file, name)]
    if not pieces:
        raise InputFileError(f"{next(iter(files.values()))}: contains no rows")
    schemas = {file: pq.read_schema(file) for file in files.values()}
    first, schema = next(iter(schemas.items()))
    image = options.column or _only_candidate(first, schema)
    for file, each in schemas.items():
        for name in filter(None, (image, options.id_column)):
            if name not in each.names:
                raise UserError(f"{file}: {unknown('column', name, each.names)}")
    content = _content(first, image, schema.field(image).type)
    for file, each in schemas.items():
        if _content(file, image, each.field(image).type) != content:
            raise UserError(
                f"{file}: the column {image} has the type {each.field(image).type}, but "
                f"{schema.field(image).type} in {first}; read the files with separate commands"
            )
    if options.id_column:
        _check_ids(files.values(), options.id_column)
    return Inputs(
        pieces=tuple(pieces),
        columns=Columns(image=image, content=content, id=options.id_column or None),
        root=os.path.commonpath([file.parent for file in files.values()]),
    )


def _kind(of: pa.DataType) -> Content | None:
    """Return what a column of this type can contain; None if no images."""
    if pa.types.is_dictionary(of):
        return _kind(of.value_type)
    if pa.types.is_binary(of) or pa.types.is_large_binary(of):
        return "bytes"
    if pa.types.is_string(of) or pa.types.is_large_string(of):
        return "path"
    # The image type of Hugging Face datasets.
    if pa.types.is_struct(of) and {"bytes", "path"} <= {
        of.field(n).name for n in range(of.num_fields)
    }:
        return "both"
    return None


def _only_candidate(file: Path, schema: pa.Schema) -> str:
    """Return the only column that can contain images: structs, else contents, else paths."""
    for kind in ("both", "bytes", "path"):
        names = [field.name for field in schema if _kind(field.type) == kind]
        if len(names) == 1:
            return names[0]
        if names:
            raise UserError(
                f"{file}: the columns {', '.join(names)} may contain images; name one: --column"
            )
    raise UserError(
        f"{file}: no column contains paths (string) or images (binary); its columns: "
        f"{', '.join(f'{field.name} ({field.type})' for field in schema)}"
    )


def _content(file: Path, name: str, of: pa.DataType) -> Content:
    kind = _kind(of)
    if kind is None:
        raise UserError(
            f"{file}: the column {name} has the type {of}; expected string (paths), binary (the "
            "content of image files), or a struct with the fields bytes and path"
        )
    return kind


def _ids_of(file: Path, name: str) -> pa.ChunkedArray:
    try:
        ids = pq.read_table(file, columns=[name])[name]
    except (OSError, pa.ArrowException) as error:
        raise InputFileError(f"{file}: cannot be read as parquet: {error}") from None
    try:
        # Arrow checks that text is UTF-8 only if it converts bytes to it.
        return ids.cast(pa.string()).cast(pa.binary()).cast(pa.string())
    except pa.ArrowException as error:
        raise UserError(
            f"{file}: the id column {name} has the type {ids.type}, which cannot be converted to "
            f"text ({error}); name another column, or leave out --id-column to number the rows"
        ) from None


def _check_ids(files: Iterable[Path], name: str) -> None:
    """Refuse ids that are missing or not unique: rows of one id would overwrite each other."""
    ids = pa.chunked_array(
        [chunk for file in files for chunk in _ids_of(file, name).chunks], pa.string()
    )
    if ids.null_count:
        raise UserError(
            f"the id column {name} has {ids.null_count} rows without an id; name another column, "
            "or leave out --id-column to number the rows"
        )
    counts = pc.value_counts(ids)
    if len(counts) < len(ids):
        twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")[0].as_py()
        raise UserError(
            f"the id column {name} is not unique: {twice!r:.100} occurs several times; name "
            "another column, or leave out --id-column to number the rows"
        )
