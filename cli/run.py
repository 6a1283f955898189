"""``ocr-trt run``: images in, text out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.files import check_writable, write_whole
from ..errors import InputFileError
from .console import ConsoleReporter, print_json, quiet_libraries
from .options import Json, Trust, Verbose

if TYPE_CHECKING:
    from ..engines.bundle import Bundle
    from ..engines.engine import Engine
    from ..ocr.types import Image
    from ..pipeline.reader import OcrReader
    from ..pipeline.text_lines import TextLine

_SOME_FAILED = 3


class _Tiles(str, Enum):
    auto = "auto"
    on = "on"
    off = "off"


def run(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    detector: Annotated[Path, typer.Option(help="Bundle of a detector.")],
    recognizer: Annotated[Path, typer.Option(help="Bundle of a recognizer.")],
    draw: Annotated[Path | None, typer.Option(help="Folder for overlay images.")] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            max=256,
            help="Images read at a time; 0: as many as keep this machine busy, see `tune`.",
        ),
    ] = 0,
    threads: Annotated[
        int, typer.Option(min=0, max=1024, help="Threads of each worker; 0: the cores, shared out.")
    ] = 0,
    tiles: Annotated[
        _Tiles,
        typer.Option(
            help="Search large images in tiles too: auto, those that the detector's input would "
            "shrink to less than half; on, all that it would shrink; off."
        ),
    ] = _Tiles.auto,
    trust: Trust = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Read the text in images, in reading order.

    In a folder a bad file is reported and the rest is read: exit code 3.

    Example: `ocr-trt run receipt.jpg --detector bundles/det --recognizer bundles/rec --draw out`
    """
    quiet_libraries(verbose=verbose)
    from ..engines.bundle import load_bundle
    from ..pipeline.reader import OcrReader, ReadSettings

    bundles = [load_bundle(path, is_trusted=trust) for path in (detector, recognizer)]
    files = image_files(images)
    if draw is not None:
        check_writable(draw)
    with ExitStack() as stack:
        finder, words = (
            stack.enter_context(_engine(bundle, workers, threads, len(files))) for bundle in bundles
        )
        reader = OcrReader(finder, words, ReadSettings(tiles=tiles.value))
        readers = [reader] * min(workers or reader.workers, len(files))
        rows = list(_read_all(readers, files, draw, json))
    if json:
        print_json(rows)
    failed = [row for row in rows if "error" in row]
    if failed:
        raise typer.Exit(_SOME_FAILED if len(files) > 1 else 2)


def _engine(bundle: Bundle, workers: int, threads: int, files: int) -> Engine:
    """Open a bundle for so many workers, 0: as many as are best, with so many threads each."""
    from ..engines.engine import Engine
    from ..engines.tuned import choice_for

    usual = choice_for(bundle, "latency" if 1 in (workers, files) else "throughput")
    streams = min(workers or usual.streams, files)
    return Engine.from_bundle(bundle, streams=streams, threads=streams * threads or usual.threads)


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files named, and the images in the folders named.

    Raises:
        InputFileError: a path does not exist, or a folder holds no images.
    """
    from ..ocr.image import image_files

    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += image_files(path)
        elif path.exists():
            files.append(path)
        else:
            raise InputFileError(f"{path}: no such file or folder")
    return files


def _read(reader: OcrReader, file: Path) -> tuple[Image, list[TextLine]] | InputFileError:
    from ..ocr.image import load_image

    try:
        image = load_image(file)
    except InputFileError as error:
        return error
    return image, reader.read(image)


def _read_all(
    readers: Sequence[OcrReader], files: list[Path], draw: Path | None, json: bool
) -> Iterator[dict[str, Any]]:
    from ..pipeline.workers import in_order

    taken: set[Path] = set()
    with ConsoleReporter(silent=json).step("read", len(files)) as advance:
        found = in_order(_read, readers, files)
        for number, (file, read) in enumerate(zip(files, found, strict=True), 1):
            if isinstance(read, InputFileError):
                print(f"error: {read}", file=sys.stderr)
                yield {"file": str(file), "error": str(read)}
                continue
            image, lines = read
            if draw is not None:
                _draw(image, lines, _free_path(draw, file.stem, taken))
            if not json:
                _print_lines(file, lines)
            advance(number)
            yield {"file": str(file), "lines": [line.as_dict() for line in lines]}


def _free_path(folder: Path, stem: str, taken: set[Path]) -> Path:
    """Return a path for a drawing; images of the same name from two folders get two.

    The suffix is one that images do not have, so that no drawing replaces one.
    """
    path, number = folder / f"{stem}.ocr.png", 1
    while path in taken:
        number += 1
        path = folder / f"{stem}_{number}.ocr.png"
    taken.add(path)
    return path


def _draw(image: Image, lines: list[TextLine], path: Path) -> None:
    import cv2

    from ..pipeline.draw import draw_lines

    ok, data = cv2.imencode(".png", draw_lines(image, lines)[:, :, ::-1])
    assert ok
    write_whole(path, data.tobytes())


def _print_lines(file: Path, lines: list[TextLine]) -> None:
    print(f"{file}: {len(lines)} lines")
    for line in lines:
        corner = ",".join(f"{value:.0f}" for value in line.quad[0])
        print(f"  {line.text_score:4.2f}  {corner:>9}  {line.text}")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)
