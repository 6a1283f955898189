"""``ocr-trt debug``: find the layer that changed a word or a box."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .model_options import check_exists
from .printing import note_left_out, plain, print_json
from .shared_options import DisplayOptions, Trust, TrustSource


def debug(
    bundle: Annotated[Path, typer.Argument(help="Engine bundle.")],
    *,
    data: Annotated[
        Path, typer.Option("--data", help="Folder of images, with or without labels.json.")
    ],
    against: Annotated[
        str,
        typer.Option(
            help="What to compare with: float (the model's float graph) or another bundle of the "
            "same model."
        ),
    ] = "float",
    sample: Annotated[
        str | None, typer.Option(help="Only this file, or one word of it, such as test_04.jpg:3.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for debug.json and debug.html.")
    ] = None,
    trust: Trust = False,
    trust_source: TrustSource = False,
    display: DisplayOptions,
) -> None:
    """Find the layer that changed the worst samples, and whether graph or target caused it.

    Compare the bundle's quantized graph with the float graph, tensor by tensor. The result
    distinguishes a graph that loses accuracy (int8, fp16) from a target that does not compute the
    graph correctly.

    Example: `ocr-trt debug bundles/my_recognizer-openvino-int8 --data labeled --output debug`
    """
    for path in (bundle, data, *(() if against == "float" else (Path(against),))):
        check_exists(path)
    from ..common.files import check_destination, whole_folder
    from ..debug.debug_page import FILES, write_debug
    from ..debug.find import debug as find
    from ..debug.summary_lines import summary_lines
    from ..engines.bundle import load_bundle
    from ..ocr.dataset import load_dataset

    if output:
        check_destination(output, own=lambda _: FILES)
    loaded = load_bundle(bundle, is_trusted=trust, is_source_trusted=trust_source)
    other = None if against == "float" else load_bundle(against, is_trusted=trust)
    samples = load_dataset(data)
    note_left_out(samples, display.reporter())
    report = find(loaded, samples, display.reporter(), against=other, sample=sample)
    if output:
        with whole_folder(output, lambda _: FILES) as scratch:
            write_debug(report, scratch, output)
    if display.json:  # without the images, which are HTML for the page
        fields = report.model_dump(mode="json", exclude={"samples": {"__all__": {"image"}}})
        print_json({**fields, "lines": summary_lines(report)})
        return
    for line in summary_lines(report):
        print(plain(line))
    for note in report.notes:
        print(f"note: {plain(note)}")
    if output:
        print(output / FILES[1])
