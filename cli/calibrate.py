"""``ocr-trt calibrate``: the ranges of a model's tensors on real pictures."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from ..output import check_file_destination, write_whole
from .console import ConsoleReporter, print_json, print_table, quiet_libraries
from .options import Json, Method, PrecisionName, Verbose
from .specs import method_from, precision_from, spec_paths


def calibrate(
    spec: Annotated[Path, typer.Argument(help="Spec of the model.")],
    calibration: Annotated[Path, typer.Option("--calibration", help="Folder of pictures.")],
    output: Annotated[Path | None, typer.Option(help="File to write the ranges to, JSON.")] = None,
    precision: PrecisionName = "int8",
    method: Method = "mse",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Take the range of every tensor that int8 or fp16 needs, without building anything.

    Example: `ocr-trt calibrate detector.yaml --calibration pictures --output ranges.json`
    """
    quiet_libraries(verbose=verbose)
    from ..calibration.pictures import load_calibration
    from ..convert.sources import open_source
    from ..recipe.graphs import convert_all, fp16_graphs, int8_graphs, observed
    from ..spec import load_spec

    spec_paths([spec])
    if output is not None:
        check_file_destination(output)
    model = load_spec(spec)
    pictures = load_calibration(calibration, model)
    reporter = ConsoleReporter(silent=json)
    converted = convert_all(open_source(model.source), model, reporter)
    graphs = {width: result.model for width, result in converted.items()}
    wanted, method = precision_from(precision), method_from(method)
    if wanted == "fp32":
        raise UserError("fp32 needs no ranges; give --precision int8 or fp16")
    seen = observed(graphs, wanted, pictures, reporter)
    typed = (
        fp16_graphs(graphs, seen, pictures)
        if wanted == "fp16"
        else int8_graphs(graphs, seen, pictures, method, 127)
    )
    found = typed.calibration
    data = found.model_dump() if found else {}
    if output is not None:
        write_whole(output, dumps(data, indent=2) + "\n")
    if json:
        print_json(data)
        return
    ranges = found.ranges if found else {}
    rows = [(name, f"{limit:.4g}", "dead" if limit == 0 else "") for name, limit in ranges.items()]
    print_table(f"{model.name}: ranges on {len(pictures)} pictures", ("tensor", "range", ""), rows)
    for node, reason in typed.exceptions.items():
        print(f"{node} stays in float: {reason}")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)
