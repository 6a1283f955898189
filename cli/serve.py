"""``ocr-trt serve``: read text over HTTP."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputFileError, UserError
from .choices import TilesChoice
from .model_options import check_exists
from .printing import json_text, plain
from .shared_options import DisplayOptions, Trust

_MIB, _MILLION = 1 << 20, 1_000_000
_LARGEST_TOKEN, _SHORTEST_TOKEN = 4096, 16


def serve(
    *,
    detector: Annotated[
        Path | None, typer.Option(help="Detector bundle; not with --lines.")
    ] = None,
    recognizer: Annotated[Path, typer.Option(help="Recognizer bundle.")],
    classifier: Annotated[
        Path | None,
        typer.Option(help="Classifier bundle: turns lines whose text does not run to the right."),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Each image is one line of text: only recognize it.")
    ] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0: all addresses of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: a free one.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with a token that clients must send as `Authorization: Bearer TOKEN`. Only "
            "the health routes and the files of the page need no token."
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=0, max=256, help="Images to read at once; 0: enough to keep this machine busy."
        ),
    ] = 0,
    threads: Annotated[
        int,
        typer.Option(
            min=0,
            max=1024,
            help="CPU threads of each engine; 0: as `optimize` measured, or all cores.",
        ),
    ] = 0,
    deadline: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=3600,
            help="Seconds from the last byte of a request to its answer; then it gets 504.",
        ),
    ] = 20.0,
    max_wait: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=3600,
            help="Seconds that an image may wait. The queue holds as many images as the service "
            "reads in this time; if it is full, requests get 503.",
        ),
    ] = 5.0,
    batch_wait: Annotated[
        float,
        typer.Option(
            min=0, max=1000, help="Milliseconds that a line may wait for lines of other requests."
        ),
    ] = 5.0,
    max_receive: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=3600,
            help="Seconds for the headers of a request, and for its body; slower ones get 408.",
        ),
    ] = 20.0,
    drain: Annotated[
        float,
        typer.Option(
            min=6,
            max=3600,
            help="Longest time from SIGTERM to the end of the process, in seconds. Requests that "
            "are not answered five seconds before the end get 503.",
        ),
    ] = 25.0,
    max_body: Annotated[
        int, typer.Option(min=1, max=256, help="Largest body of a request, in MiB.")
    ] = 32,
    max_pixels: Annotated[
        float,
        typer.Option(min=0.01, max=100, help="Largest image or page, in millions of pixels."),
    ] = 64.0,
    max_pages: Annotated[
        int, typer.Option(min=1, max=2000, help="Largest number of pages of a document.")
    ] = 50,
    max_images: Annotated[
        int, typer.Option(min=1, max=1000, help="Largest number of images in a batch.")
    ] = 32,
    tiles: Annotated[
        TilesChoice, typer.Option(help="Also search large images in tiles; see `run`.")
    ] = TilesChoice.AUTO,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Drop lines whose text score is lower.")
    ] = 0.0,
    min_box_score: Annotated[
        float, typer.Option(min=0, max=1, help="Do not read boxes whose score is lower.")
    ] = 0.0,
    both_ways: Annotated[
        bool,
        typer.Option(
            "--both-ways", help="Also read each line upside down; a --classifier costs less."
        ),
    ] = False,
    dpi: Annotated[
        int, typer.Option(min=10, max=2400, help="Resolution of PDF pages, in pixels per inch.")
    ] = 200,
    trust: Trust = False,
    display: DisplayOptions,
) -> None:
    """Read text over HTTP: a service with a page for browsers, health checks and metrics.

    It runs until SIGTERM or Ctrl-C, answers the requests that it has accepted, and exits with 0.
    With --json, it prints its address as JSON when it is ready. It requires
    `pip install 'ocr-trt[serve]'`.

    Example: `ocr-trt serve --detector bundles/det --recognizer bundles/rec`
    """
    start = time.monotonic()
    _check(detector, lines, classifier, both_ways)
    for path in (detector, recognizer, classifier):
        if path is not None:
            check_exists(path)
    token = None if token_file is None else _token(token_file)
    from ..engines.bundle import load_bundle
    from ..pipeline.reader import ReadSettings
    from ..serve.server import is_loopback
    from ..serve.server import serve as serve_bundles
    from ..serve.service import Bundles
    from ..serve.settings import Limits, ServeSettings, Times

    settings = ServeSettings(
        host=host,
        port=port,
        workers=workers,
        threads=threads,
        token=token,
        read=ReadSettings(
            tiles=tiles.value,
            min_box_score=min_box_score,
            min_text_score=min_score,
            both_ways=both_ways,
            dpi=dpi,
        ),
        limits=Limits(
            body_bytes=max_body * _MIB,
            pixels=round(max_pixels * _MILLION),
            pages=max_pages,
            images=max_images,
        ),
        times=Times(
            deadline=deadline,
            max_wait=max_wait,
            batch_wait=batch_wait / 1000,
            receive=max_receive,
            drain=drain,
        ),
        samples=_samples(),
    )
    detecting, turning = (
        None if path is None else load_bundle(path, is_trusted=trust)
        for path in (detector, classifier)
    )
    reading = load_bundle(recognizer, is_trusted=trust)
    bundles = Bundles(detector=detecting, recognizer=reading, classifier=turning)
    if token is None and not is_loopback(host):
        display.reporter().note(
            f"the service listens on {plain(host)} without a token: everyone who can reach this "
            "machine can use it; require a token with --token-file FILE"
        )

    def on_ready(address: str) -> None:
        _announce(address, time.monotonic() - start, display)

    serve_bundles(bundles, settings, on_ready)


def _check(detector: Path | None, lines: bool, classifier: Path | None, both_ways: bool) -> None:
    """Check which models were given.

    Raises:
        UserError: options exclude each other, or one is missing.
    """
    if lines == (detector is not None):
        raise UserError(
            "--detector and --lines exclude each other: each image is one line"
            if lines
            else "give --detector BUNDLE, or --lines if each image is one line of text"
        )
    if classifier is not None and both_ways:
        raise UserError("--classifier and --both-ways exclude each other: give one of them")


def _announce(address: str, seconds: float, display: DisplayOptions) -> None:
    """Print where the service is, as soon as it can be used."""
    if display.json:
        data = {"address": address, "page": f"{address}/", "seconds": round(seconds, 3)}
        # sys.stdout is held back in memory until the command ends.
        print(json_text(data), end="", file=sys.__stdout__, flush=True)
        return
    print(f"ready after {seconds:.1f} s at {address}")
    print(f"  page: {address}/  API: {address}/docs  stop: Ctrl-C or SIGTERM", flush=True)


def _token(path: Path) -> str:
    """Read a token.

    Raises:
        InputFileError: the file cannot be read, or its content is no usable token.
    """
    from ..common.read_file import read_limited

    content = read_limited(path, limit=_LARGEST_TOKEN, what="a token (a text file)").strip()
    token = content.decode("ascii", "replace")
    if not re.fullmatch(r"[!-~]*", token) or len(token) < _SHORTEST_TOKEN:
        raise InputFileError(
            f"{path}: expected a token of at least {_SHORTEST_TOKEN} printable ASCII characters "
            "without spaces; create one with: openssl rand -hex 32"
        )
    return token


def _samples() -> tuple[Path, ...]:
    """Return the sample images that come with the package and that the page offers."""
    from ..models.reference_models import SAMPLES

    return tuple(
        path for name in ("test", "pages") for path in sorted((SAMPLES / name).glob("*.jpg"))
    )
