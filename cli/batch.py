"""``ocr-trt batch``: read any number of images with Ray Data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UserError
from .batch_progress import ProgressLine
from .choices import TilesChoice
from .model_options import check_exists
from .printing import one_line, print_json
from .shared_options import DisplayOptions, Trust

if TYPE_CHECKING:
    from ..batch.job import BatchSummary

_SOME_FAILED = 3
"""Exit code if some images could not be read."""


def batch(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder; a pattern such as 'scans/**/*.tif'; a text file with one path per "
            "line; or parquet with a column of paths or of image files."
        ),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(help="Folder for the result files; the same command continues there."),
    ],
    detector: Annotated[
        Path | None, typer.Option(help="Detector bundle; not with --lines.")
    ] = None,
    recognizer: Annotated[Path, typer.Option(help="Recognizer bundle.")],
    lines: Annotated[
        bool, typer.Option("--lines", help="Each image is one line of text: only recognize it.")
    ] = False,
    ray: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Use a Ray cluster: HOST:PORT, or auto for the one that this machine belongs to. "
            "By default, Ray is started on this machine.",
        ),
    ] = "",
    actors: Annotated[
        int,
        typer.Option(
            min=0, max=100_000, help="Processes that read images; 0: as many as the CPUs allow."
        ),
    ] = 0,
    threads: Annotated[
        int,
        typer.Option(
            min=0,
            max=1024,
            help="CPU threads of each process; 0: 1, or up to 4 if memory is short.",
        ),
    ] = 0,
    block: Annotated[
        int,
        typer.Option(
            min=0,
            max=100_000,
            help="Images in each result file; 0: 8 to 256, depending on the number of images.",
        ),
    ] = 0,
    column: Annotated[
        str, typer.Option(help="Parquet column with paths or images; by default the only one.")
    ] = "",
    id_column: Annotated[
        str, typer.Option(help="Parquet column with unique ids; by default rows are numbered.")
    ] = "",
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Also read the images in subfolders.")
    ] = False,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Drop lines whose text score is lower.")
    ] = 0.0,
    min_box_score: Annotated[
        float, typer.Option(min=0, max=1, help="Do not read boxes whose score is lower.")
    ] = 0.0,
    tiles: Annotated[
        TilesChoice, typer.Option(help="Also search large images in tiles, as in `run`.")
    ] = TilesChoice.AUTO,
    dpi: Annotated[
        int, typer.Option(min=10, max=2400, help="Resolution of PDF pages, in pixels per inch.")
    ] = 200,
    trust: Trust = False,
    display: DisplayOptions,
) -> None:
    """Read many images with Ray, on this machine or on a cluster, and write parquet.

    An image that cannot be read gets its error in the column `error`, and the exit code is 3. If
    the command is interrupted or killed, run it again: it reads only the images that have no result
    yet. It requires `pip install 'ocr-trt[ray]'`.

    Example: `ocr-trt batch scans --output texts --detector bundles/det --recognizer bundles/rec`
    """
    from ..batch.job import BatchJob, run_batch
    from ..batch.sources import SourceOptions
    from ..pipeline.reader import ReadSettings

    if lines == (detector is not None):
        raise UserError(
            "--detector and --lines exclude each other: each image is one line"
            if lines
            else "give --detector BUNDLE, or --lines if each image is one line of text"
        )
    for path in (detector, recognizer):
        if path is not None:
            check_exists(path)
    job = BatchJob(
        source=source,
        output=output,
        detector=detector,
        recognizer=recognizer,
        address=ray,
        actors=actors,
        threads=threads,
        block=block,
        sources=SourceOptions(recursive=recursive, column=column, id_column=id_column),
        settings=ReadSettings(
            tiles=tiles.value, min_box_score=min_box_score, min_text_score=min_score, dpi=dpi
        ),
        is_trusted=trust,
        verbose=display.verbose,
    )
    with ProgressLine(silent=display.json or display.quiet) as line:
        summary = run_batch(job, watch=line.show, note=display.reporter().note)
    if display.json:
        print_json(_facts(summary, output))
    else:
        _print(summary, output)
    if summary.progress.failed:
        raise typer.Exit(_SOME_FAILED)


def _facts(summary: BatchSummary, output: Path) -> dict[str, object]:
    """Return the summary for JSON; ``json_documents.BatchOutput`` is its schema."""
    return {
        "output": str(output),
        "images": summary.progress.done,
        "read_earlier": summary.earlier,
        "failed": summary.progress.failed,
        "rows": summary.pages,
        "images_per_second": round(summary.progress.rate, 2),
        "actors": summary.actors,
        "threads": summary.threads,
        "errors": [
            {"id": name, "page": page, "message": message} for name, page, message in summary.errors
        ],
    }


def _print(summary: BatchSummary, output: Path) -> None:
    progress = summary.progress
    print(f"{output}: {progress.done} images in {summary.pages} rows, {progress.failed} failed")
    if summary.earlier:
        print(f"  {summary.earlier} of them were read by earlier runs")
    if progress.rate:
        print(
            f"  {progress.rate:.1f} images/s after the first block, {summary.actors} actors with "
            f"{summary.threads} threads each"
        )
    for name, page, message in summary.errors:
        print(f"  {one_line(name)}, page {page}: {one_line(message)}")
    if progress.failed > len(summary.errors):
        print("  the other errors are in the column error of the result files")
