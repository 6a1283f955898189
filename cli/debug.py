"""``ocr-trt debug``: from a changed word or box back to the layer that changed it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import ConsoleReporter, plain, print_json, quiet_libraries
from .options import Json, Trust, Verbose


def debug(
    bundle: Annotated[Path, typer.Argument(help="Engine bundle.")],
    data: Annotated[
        Path, typer.Option("--data", help="Folder of images, with labels.json or without.")
    ],
    against: Annotated[
        str, typer.Option(help="float: the model's float graph; or another bundle of the model.")
    ] = "float",
    sample: Annotated[
        str | None, typer.Option(help="Only this file, or one word of it: test_04.jpg:3.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for debug.{json,html}.")] = None,
    trust: Trust = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Find which layer changed the samples that got worst, and whether graph or target did it.

    The bundle's quantized graph runs beside the float graph, tensor by tensor. The result tells a
    graph that loses accuracy (int8, fp16) from a target that does not compute its graph.

    Example: `ocr-trt debug bundles/my_recognizer-openvino-int8 --data labeled --output debug`
    """
    quiet_libraries(verbose=verbose)
    from ..common.files import check_destination, whole_folder
    from ..debug.debug_page import FILES, write_debug
    from ..debug.find import debug as find
    from ..engines.bundle import load_bundle
    from ..ocr.dataset import load_dataset

    if output:
        check_destination(output, own=FILES)
    loaded = load_bundle(bundle, is_trusted=trust)
    other = None if against == "float" else load_bundle(against, is_trusted=trust)
    reporter = ConsoleReporter(silent=json)
    report = find(loaded, load_dataset(data), reporter, against=other, sample=sample)
    if output:
        with whole_folder(output, FILES) as scratch:
            write_debug(report, scratch)
    if json:
        told = report.model_dump(mode="json", exclude={"samples": {"__all__": {"image"}}})
        print_json({**told, "lines": report.lines})
        return
    for line in report.lines:
        print(plain(line))
    for note in report.notes:
        print(f"note: {plain(note)}")
    if output:
        print(output / FILES[1])


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(debug)
