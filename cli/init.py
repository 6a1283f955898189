"""``ocr-trt init``: a starter spec for a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..common.files import write_whole
from ..errors import OutputError, SpecError, UserError
from .model_options import ModelOptions, load_or_draft_spec
from .printing import print_json
from .shared_options import DisplayOptions
from .spec_text import spec_text

if TYPE_CHECKING:
    from ..common.progress import Reporter
    from ..spec import ModelSpec


def _names(spec: ModelSpec) -> tuple[str, ...]:
    """Return the texts that come from the model or from a file of the user."""
    charset = spec.charset if spec.role == "recognizer" else ""
    return spec.name, spec.input.name, spec.output.name, charset, *spec.source.constants


def _with_sizes(spec: ModelSpec, images: Path, reporter: Reporter) -> ModelSpec:
    """Return a spec with the input sizes that suit the images or lines of a folder."""
    from ..builder.proposed_sizes import ProposedSizes, propose_sizes
    from ..builder.proposed_widths import ProposedWidths, propose_widths
    from ..calibration.images import load_calibration
    from ..spec import DetectorSpec, RecognizerSpec

    samples = load_calibration(images, spec)
    proposed: ProposedSizes | ProposedWidths
    if isinstance(spec, DetectorSpec):
        proposed = propose_sizes(spec, samples, reporter)
    elif isinstance(spec, RecognizerSpec):
        proposed = propose_widths(spec, samples, reporter)
    else:
        raise UserError("--images chooses input sizes, of which a classifier has only one")
    reporter.note(proposed.reason)
    return proposed.spec


def _check_free(path: Path, *, force: bool) -> None:
    """Check that a spec may be written to a path.

    Raises:
        OutputError: a folder is there, or a file that may not be replaced without ``force``.
    """
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: is not a file; choose another name with --output")
    if path.exists() and not force:
        raise OutputError(
            f"{path}: exists already; choose another name with --output, or replace it with --force"
        )


def init(
    model: Annotated[
        Path,
        typer.Argument(
            help="SavedModel folder, or a .keras, .h5, .pb, .meta, .tflite or .onnx file."
        ),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Spec file to write. Default: detector.yaml, recognizer.yaml or classifier.yaml."
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images like those in production: choose the input sizes that suit "
            "them. For a recognizer: images of lines, or images whose lines are labeled."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the spec file if it exists.")] = (
        False
    ),
    options: ModelOptions,
    display: DisplayOptions,
) -> None:
    """Write a starter spec for a model, with comments. Requires --role.

    Example: `ocr-trt init my_detector --role detector`
    """
    from ..common.safe_yaml import load_yaml
    from ..spec import spec_from_dict

    # Checked before the model is loaded, which may take a minute.
    early = output or (Path(f"{options.role.value}.yaml") if options.role else None)
    if early is not None:
        _check_free(early, force=force)
    spec = load_or_draft_spec(model, options, display.reporter())
    if images is not None:
        spec = _with_sizes(spec, images, display.reporter())
    path = output or Path(f"{spec.role}.yaml")
    _check_free(path, force=force)
    text = spec_text(spec, path.parent)
    try:  # a name from the model must not become YAML structure
        is_same = _names(spec_from_dict(load_yaml(text))) == _names(spec)
    except ValueError:
        is_same = False
    if not is_same:
        raise SpecError(f"{model}: its names or its charset cannot be written in a spec")
    write_whole(path, text)
    if display.json:
        print_json({"spec": str(path)})
        return
    print(f"{path}: check the lines marked (?), then run: ocr-trt inspect {path}")
