"""``ocr-trt export``: write bundles in the form that another model server loads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ..errors import UserError
from .choices import TilesChoice
from .model_options import check_exists
from .printing import print_json, print_table
from .shared_options import DisplayOptions

if TYPE_CHECKING:
    from ..export.export_settings import ExportSettings


class ExportFormat(str, Enum):
    """The model server that the files are for."""

    TRITON = "triton"


@dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """Defaults of the pipeline, which its config.pbtxt contains."""

    PANEL: ClassVar[str] = "Pipeline"

    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Images that the pipeline reads at once.")
    ] = 4
    tiles: Annotated[
        TilesChoice, typer.Option(help="Also search large images in tiles; as for `run`.")
    ] = TilesChoice.AUTO
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Drop lines whose text score is lower.")
    ] = 0.0
    min_box_score: Annotated[
        float, typer.Option(min=0, max=1, help="Do not read boxes whose score is lower.")
    ] = 0.0
    both_ways: Annotated[
        bool,
        typer.Option("--both-ways", help="Also read each line upside down; as for `run`."),
    ] = False
    dpi: Annotated[
        int, typer.Option(min=10, max=2400, help="Resolution of PDF pages, in pixels per inch.")
    ] = 200


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How the server runs the models."""

    PANEL: ClassVar[str] = "Server"

    name: Annotated[
        str,
        typer.Option(help="Name of the pipeline, and prefix of the names of the other models."),
    ] = "ocr"
    model_version: Annotated[int, typer.Option(min=1, help="Version of all models.")] = 1
    max_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Largest batch that Triton forms from several requests, and that the pipeline "
            "sends in one. Default: that of the bundle.",
        ),
    ] = None
    no_padding: Annotated[
        bool,
        typer.Option(
            "--no-padding",
            help="OpenVINO: run each request alone, at its own size. By default, Triton forms "
            "batches and pads them to the largest size.",
        ),
    ] = False
    queue_delay: Annotated[
        int,
        typer.Option(
            min=0,
            max=1_000_000,
            help="Microseconds that a request waits for other requests that fill its batch.",
        ),
    ] = 500
    instances: Annotated[
        int, typer.Option(min=1, max=256, help="Instances of each model that runs a plan.")
    ] = 1
    stand_in: Annotated[
        bool,
        typer.Option(
            "--stand-in",
            help="Let Python models run the plans, for a server that lacks the backends.",
        ),
    ] = False


def export(
    form: Annotated[ExportFormat, typer.Argument(metavar="FORMAT", help="The only one: triton.")],
    *,
    detector: Annotated[
        Path | None, typer.Option(help="Detector bundle; not with --lines.")
    ] = None,
    recognizer: Annotated[Path, typer.Option(help="Recognizer bundle.")],
    output: Annotated[
        Path, typer.Option(help="Folder to write; an earlier export in it is replaced.")
    ],
    classifier: Annotated[
        Path | None,
        typer.Option(help="Classifier bundle: turns lines whose text does not run to the right."),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Each image is one line of text: only recognize it.")
    ] = False,
    server: ServerOptions,
    pipeline: PipelineOptions,
    display: DisplayOptions,
) -> None:
    """Write two bundles as a model repository for the Triton inference server.

    It contains one model for each plan, and a pipeline that reads images with these models. Run
    `pip install ocr-trt` in the Python of the server, because the pipeline imports it. The export
    itself requires `pip install 'ocr-trt[triton]'`.

    Example: `ocr-trt export triton --detector bundles/det --recognizer bundles/rec --output models`
    """
    from ..engines.bundle import load_bundle
    from ..export.repository import export_triton

    if lines == (detector is not None):
        raise UserError(
            "--detector and --lines exclude each other: each image is one line"
            if lines
            else "give --detector BUNDLE, or --lines if each image is one line of text"
        )
    if classifier is not None and pipeline.both_ways:
        raise UserError("--classifier and --both-ways exclude each other: give one of them")
    paths = (detector, recognizer, classifier)
    for path in paths:
        if path is not None:
            check_exists(path)
    finding, reading, turning = (None if each is None else load_bundle(each) for each in paths)
    assert reading is not None
    settings = _settings(server, pipeline)
    exported = export_triton(finding, reading, output, settings, classifier=turning)
    if display.json:
        print_json({**asdict(exported), "folder": str(output)})
        return
    rows = [("reads images", exported.pipeline), *(("runs a plan", m) for m in exported.models)]
    print_table(f"Models in {output}", ("", "model"), rows)
    for note in exported.notes:
        display.reporter().note(note)


def _settings(server: ServerOptions, pipeline: PipelineOptions) -> ExportSettings:
    from ..export.export_settings import ExportSettings
    from ..export.pipeline_file import PipelineParameters

    return ExportSettings(
        name=server.name,
        version=server.model_version,
        max_batch=server.max_batch,
        pads=not server.no_padding,
        queue_delay=server.queue_delay,
        instances=server.instances,
        is_stand_in=server.stand_in,
        parameters=PipelineParameters(
            workers=pipeline.workers,
            tiles=pipeline.tiles.value,
            min_text_score=pipeline.min_score,
            min_box_score=pipeline.min_box_score,
            both_ways=pipeline.both_ways,
            dpi=pipeline.dpi,
        ),
    )
