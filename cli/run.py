"""``ocr-trt run``: read the text in images."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.files import check_writable
from ..errors import UserError
from .choices import TilesChoice
from .failure import failure_of
from .model_options import check_exists
from .printing import plain, print_json
from .run_sources import print_notes, sources_of
from .shared_options import DisplayOptions, Trust

if TYPE_CHECKING:
    from ..engines.bundle import Bundle
    from ..engines.engine import Engine
    from ..ocr.image import ImageFile
    from ..pipeline.read_result import ReadResult
    from ..pipeline.reader import OcrReader, ReadSettings
    from .page_worker import PageWorker

_SOME_FAILED = 3
"""Exit code if some of several images could not be read."""


def run(
    images: Annotated[
        list[Path],
        typer.Argument(help="Image or PDF files, folders of them, or - for standard input."),
    ],
    *,
    detector: Annotated[
        Path | None, typer.Option(help="Detector bundle; not with --lines.")
    ] = None,
    recognizer: Annotated[Path, typer.Option(help="Recognizer bundle.")],
    classifier: Annotated[
        Path | None,
        typer.Option(help="Classifier bundle: turns lines whose text does not run to the right."),
    ] = None,
    both_ways: Annotated[
        bool,
        typer.Option(
            "--both-ways",
            help="Also read each line upside down, and keep the text with the better score. This "
            "doubles the time of the recognizer; a --classifier costs less.",
        ),
    ] = False,
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
    dpi: Annotated[
        int, typer.Option(min=10, max=2400, help="Resolution of PDF pages, in pixels per inch.")
    ] = 200,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Also read the images in subfolders.")
    ] = False,
    memory: Annotated[
        int,
        typer.Option(
            min=0,
            help="MiB for the images in progress in all workers; 0: a quarter of what is free. A "
            "worker waits until its image fits. An image above the limit is read alone.",
        ),
    ] = 0,
    trust: Trust = False,
    display: DisplayOptions,
) -> None:
    """Read the text in images and PDF documents, in reading order.

    If some of several images or pages cannot be read, the others are read, and the exit code is 3.

    Example: `ocr-trt run receipt.jpg --detector bundles/det --recognizer bundles/rec --draw out` or
    `ocr-trt run crops --lines --recognizer bundles/rec`
    """
    if lines == (detector is not None):
        raise UserError(
            "--detector and --lines exclude each other: each image is one line"
            if lines
            else "give --detector BUNDLE, or --lines if each image is one line of text"
        )
    if classifier is not None and both_ways:
        raise UserError("--classifier and --both-ways exclude each other: give one of them")
    for path in (detector, recognizer, classifier):
        if path is not None:
            check_exists(path)
    from ..engines.bundle import load_bundle
    from ..ocr.image_source import name_of
    from ..pipeline.image_memory import image_budget
    from ..pipeline.reader import ReadSettings
    from .page_worker import Drawings, PageWorker

    sources = sources_of(images, dpi, recursive, display)
    bundles = [
        None if path is None else load_bundle(path, is_trusted=trust)
        for path in (detector, recognizer, classifier)
    ]
    drawings = None
    if draw is not None:
        check_writable(draw)
        drawings = Drawings(draw, (name_of(source) or "" for source in sources))
    with ExitStack() as stack:
        settings = ReadSettings(
            tiles=tiles.value,
            min_box_score=min_box_score,
            min_text_score=min_score,
            both_ways=both_ways,
            dpi=dpi,
        )
        reader = _reader(bundles, settings, (workers, threads, len(sources)), stack)
        worker = PageWorker(reader=reader, budget=image_budget(memory << 20), drawings=drawings)
        # All workers share the engines, which have a stream for each of them.
        number = workers or reader.workers
        read, failed, kept = 0, 0, list[dict[str, Any]]()
        for row in _read_all(worker, sources, number, display):
            read, failed = read + 1, failed + ("error" in row)
            if display.json:  # otherwise memory would grow with the number of images
                kept.append(row)
    if display.json:
        print_json(kept)
    if failed:
        # A single file that cannot be read is an input that cannot be used.
        raise typer.Exit(_SOME_FAILED if read > 1 else 2)


def _reader(
    bundles: Sequence[Bundle | None],
    settings: ReadSettings,
    numbers: tuple[int, int, int],
    stack: ExitStack,
) -> OcrReader:
    """Open a reader of the bundles of a detector, a recognizer and a classifier.

    ``numbers``: workers, threads of each, and files.
    """
    from ..pipeline.parallel_lines import (
        reads_lines_in_parallel,
        recognize_in_parallel,
        recognizer_of_lines,
    )
    from ..pipeline.reader import OcrReader
    from ..pipeline.stages import recognize

    workers, threads, files = numbers
    finder, lines, _ = bundles
    # One image at a time, with several lines: the recognizer reads those at once.
    is_single = finder is not None and 1 in (workers, files)
    is_parallel = is_single and lines is not None and reads_lines_in_parallel(lines)

    def opened(bundle: Bundle | None) -> Engine | None:
        if bundle is None:
            return None
        if is_parallel and bundle is lines:
            return stack.enter_context(recognizer_of_lines(bundle, threads))
        return stack.enter_context(_engine(bundle, workers, threads, files))

    detector, recognizer, classifier = map(opened, bundles)
    assert recognizer is not None
    how = recognize_in_parallel if is_parallel else recognize
    return OcrReader(detector, recognizer, settings, recognize=how, classifier=classifier)


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


def _read_all(
    worker: PageWorker, sources: Sequence[ImageFile | Path], workers: int, display: DisplayOptions
) -> Iterator[dict[str, Any]]:
    from ..ocr.image import ImageFile
    from ..ocr.image_source import name_of
    from ..pipeline.pages import pages_of
    from ..pipeline.workers import in_order

    lacking: set[str] = set()
    done, pages = 0, pages_of(sources, worker.reader.settings.dpi)
    with display.reporter().step("read", len(sources)) as advance:
        for outcome in in_order(lambda _, page: worker.work(page), range(workers), pages):
            page, result = outcome.page, outcome.result
            file = name_of(page.source) or ""
            if page.page == 1 and isinstance(page.source, ImageFile):
                print_notes((f"{file}: {note}" for note in page.source.notes), display)
            if outcome.error is not None:
                failure = failure_of(outcome.error)
                print(f"error: {failure.message}", file=sys.stderr)
                yield {"file": file, "page": page.page, "error": failure.as_dict()}
            elif result is not None:
                lacking |= outcome.lacking
                if not display.json:
                    _print_lines(result)
                yield result.to_dict()
            done += page.is_last
            advance(done)
    if lacking:
        shown = "".join(sorted(lacking)[:20])
        display.reporter().note(
            f"no installed font has these characters, so --draw shows boxes for them: {shown}; "
            "install one, for example: apt-get install fonts-noto-core fonts-noto-cjk"
        )


def _print_lines(result: ReadResult) -> None:
    page = f", page {result.page} of {result.pages}" if result.pages > 1 else ""
    count = len(result.lines)
    print(f"{plain(str(result.file))}{page}: {count} {'line' if count == 1 else 'lines'}")
    for warning in result.warnings:
        print(f"  warning: {plain(warning)}")
    for line in result.lines:
        corner = ",".join(f"{value:.0f}" for value in line.quad[0])
        print(f"  {line.text_score:4.2f}  {corner:>9}  {plain(line.text)}")
