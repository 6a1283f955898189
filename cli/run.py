"""``ocr-trt run``: read the text in images."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.files import check_writable, write_whole
from ..errors import InputFileError, OcrTrtError, UserError
from .choices import TilesChoice
from .failure import failure_of
from .model_options import check_exists, missing
from .printing import plain, print_json
from .shared_options import DisplayOptions, Trust

if TYPE_CHECKING:
    from ..engines.bundle import Bundle
    from ..engines.engine import Engine
    from ..ocr.types import Image
    from ..pipeline.pages import Page
    from ..pipeline.read_result import ReadResult
    from ..pipeline.reader import ReadSettings
    from ..pipeline.text_lines import TextLine

_SOME_FAILED = 3
"""Exit code if some of several images could not be read."""


def run(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of images.")],
    *,
    detector: Annotated[
        Path | None, typer.Option(help="Detector bundle; not with --lines.")
    ] = None,
    recognizer: Annotated[Path, typer.Option(help="Recognizer bundle.")],
    lines: Annotated[
        bool, typer.Option("--lines", help="Each image is one line of text: only recognize it.")
    ] = False,
    min_score: Annotated[
        float,
        typer.Option(min=0, max=1, help="Drop lines whose text score is lower."),
    ] = 0.0,
    min_box_score: Annotated[
        float,
        typer.Option(min=0, max=1, help="Do not read boxes whose score is lower."),
    ] = 0.0,
    draw: Annotated[
        Path | None, typer.Option(help="Folder for the images with boxes and text drawn on them.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            max=256,
            help="Number of images to read at once; 0: enough to keep this machine busy (see "
            "`optimize`).",
        ),
    ] = 0,
    threads: Annotated[
        int,
        typer.Option(
            min=0, max=1024, help="Threads of each worker; 0: an equal share of the cores."
        ),
    ] = 0,
    tiles: Annotated[
        TilesChoice,
        typer.Option(
            help="Also search large images in tiles. auto: images that the detector's input size "
            "would shrink to less than half; on: all images that it would shrink."
        ),
    ] = TilesChoice.AUTO,
    trust: Trust = False,
    display: DisplayOptions,
) -> None:
    """Read the text in images, in reading order.

    If some of several images cannot be read, the others are read, and the exit code is 3.

    Example: `ocr-trt run receipt.jpg --detector bundles/det --recognizer bundles/rec --draw out` or
    `ocr-trt run crops --lines --recognizer bundles/rec`
    """
    from ..engines.bundle import load_bundle
    from ..pipeline.reader import OcrReader, ReadSettings

    if lines == (detector is not None):
        raise UserError(
            "--detector and --lines exclude each other: each image is one line"
            if lines
            else "give --detector BUNDLE, or --lines if each image is one line of text"
        )
    for path in (detector, recognizer):
        if path is not None:
            check_exists(path)
    files = _files_of(images)
    bundles = [
        None if path is None else load_bundle(path, is_trusted=trust)
        for path in (detector, recognizer)
    ]
    if draw is not None:
        check_writable(draw)
    with ExitStack() as stack:
        detecting, reading = (
            stack.enter_context(_engine(bundle, workers, threads, len(files))) if bundle else None
            for bundle in bundles
        )
        assert reading is not None
        settings = ReadSettings(
            tiles=tiles.value, min_box_score=min_box_score, min_text_score=min_score
        )
        reader = OcrReader(detecting, reading, settings)
        # All workers share the engines, which have a stream for each of them.
        number = workers or reader.workers
        rows = list(_read_all((detecting, reading), settings, files, draw, display, number))
    if display.json:
        print_json(rows)
    failed = [row for row in rows if "error" in row]
    if failed:
        # A single file that cannot be read is an input that cannot be used.
        raise typer.Exit(_SOME_FAILED if len(files) > 1 else 2)


def _engine(bundle: Bundle, workers: int, threads: int, files: int) -> Engine:
    """Open a bundle for a number of workers with ``threads`` each.

    0 stands for the number that `ocr-trt optimize` measured, or for the default.
    """
    from ..engines.engine import Engine
    from ..engines.tuned import choice_for

    # If images are read one at a time, latency matters, otherwise throughput.
    tuned = choice_for(bundle, "latency" if 1 in (workers, files) else "throughput")
    streams = min(workers or tuned.streams, files)
    return Engine.from_bundle(bundle, streams=streams, threads=streams * threads or tuned.threads)


def _files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the named files, and the images in the named folders.

    Raises:
        InputFileError: a path does not exist, or a folder holds no images.
    """
    from ..ocr.images.folder import image_files

    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += image_files(path)
        elif path.exists():
            files.append(path)
        else:
            raise InputFileError(missing(path))
    return files


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """A page that was read, or why it cannot be read."""

    page: Page
    pixels: Image | None = None
    result: ReadResult | None = None
    error: OcrTrtError | None = None


def _read(
    engines: tuple[Engine | None, Engine], settings: ReadSettings, page: Page | Exception
) -> _Outcome:
    from ..pipeline.read_image import read_image

    if isinstance(page, Exception):  # of the list of images: never
        raise page
    # Returned, not raised: an error of one image must not end the workers of the others.
    try:
        if page.error is not None:
            raise page.error
        pixels, result = read_image(engines, page.source, settings, page=page.page)
    except UserError as error:
        return _Outcome(page=page, error=error)
    return _Outcome(page=page, pixels=pixels, result=result)


def _read_all(
    engines: tuple[Engine | None, Engine],
    settings: ReadSettings,
    files: list[Path],
    draw: Path | None,
    display: DisplayOptions,
    workers: int,
) -> Iterator[dict[str, Any]]:
    from ..ocr.image import ImageFile
    from ..ocr.image_source import name_of
    from ..pipeline.pages import pages_of
    from ..pipeline.workers import in_order

    taken: set[Path] = set()
    lacking: set[str] = set()
    done, reporter = 0, display.reporter()
    read = partial(_read, engines, settings)
    with reporter.step("read", len(files)) as advance:
        for outcome in in_order(lambda _, page: read(page), range(workers), pages_of(files)):
            page, result = outcome.page, outcome.result
            file = name_of(page.source) or ""
            for note in page.source.notes if isinstance(page.source, ImageFile) else ():
                reporter.note(f"{file}: {note}")
            if outcome.error is not None:
                failure = failure_of(outcome.error)
                print(f"error: {failure.message}", file=sys.stderr)
                yield {"file": file, "page": page.page, "error": failure.as_dict()}
            elif result is not None and outcome.pixels is not None:
                if draw is not None:
                    path = _free_path(draw, Path(file).stem, taken)
                    lacking |= _draw(outcome.pixels, result.lines, path)
                if not display.json:
                    _print_lines(result)
                yield result.to_dict()
            done += page.is_last
            advance(done)
    if lacking:
        shown = "".join(sorted(lacking)[:20])
        reporter.note(
            f"no installed font has these characters, so --draw shows boxes for them: {shown}; "
            "install one, for example: apt-get install fonts-noto-core fonts-noto-cjk"
        )


def _free_path(folder: Path, stem: str, taken: set[Path]) -> Path:
    """Return a path for a drawing that is not in ``taken``, and add it there.

    Images of the same name from two folders get two drawings. Input images do not have the suffix
    ``.ocr.png``, so a drawing never replaces one.
    """
    path, number = folder / f"{stem}.ocr.png", 1
    while path in taken:
        number += 1
        path = folder / f"{stem}_{number}.ocr.png"
    taken.add(path)
    return path


def _draw(image: Image, lines: Sequence[TextLine], path: Path) -> set[str]:
    """Write a drawing; return the characters that no installed font has."""
    import cv2

    from ..pipeline.draw import draw_lines
    from ..pipeline.fonts import missing_characters

    # (H, W, 3), RGB -> BGR, which OpenCV expects.
    ok, data = cv2.imencode(".png", draw_lines(image, lines)[:, :, ::-1])
    assert ok
    write_whole(path, data.tobytes())
    return {each for line in lines for each in missing_characters(line.text)}


def _print_lines(result: ReadResult) -> None:
    page = f", page {result.page} of {result.pages}" if result.pages > 1 else ""
    count = len(result.lines)
    print(f"{plain(str(result.file))}{page}: {count} {'line' if count == 1 else 'lines'}")
    for line in result.lines:
        corner = ",".join(f"{value:.0f}" for value in line.quad[0])
        print(f"  {line.text_score:4.2f}  {corner:>9}  {plain(line.text)}")
