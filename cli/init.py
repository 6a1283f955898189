"""``ocr-trt init``: a starter spec for a model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.files import write_whole
from ..errors import OutputError, SpecError
from .console import ConsoleReporter, print_json, quiet_libraries
from .options import Json, Verbose
from .specs import ModelOptions, spec_from_path

if TYPE_CHECKING:
    from ..spec import DetectorSpec, RecognizerSpec

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")

_HEAD = """\
# Spec of {name}, drafted by ocr-trt init from the model's signature. Check every line marked (?).
version: 1
name: {name}
role: {role}
source:
  path: {path}
  signature: {signature}    # of a SavedModel
  tags: {tags}                # of the graph, in a SavedModel that holds several
  allow_lambda: {allow_lambda}     # run the Python code in Lambda layers; for files you trust
  custom: {custom}              # layers of your own in a Keras file: module:Class
input:
  name: {input}
  shape: [{shape}]     # (?) sizes the model leaves open were guessed
  layout: {layout}
  color: {color}              # (?) RGB, BGR or GRAY: the order the model was trained with
  mean: [{mean}]                # (?) the model sees (pixel - mean) * scale, pixels 0..255
  scale: [{scale}]
  pad: 127                # (?) pixel value around an image that does not fill the input
  max_batch: {max_batch}            # above 1 the batch size stays free up to this
output:
  name: {output}
"""

_DETECTOR = """\
  channel: 0              # (?) which channel of the output is text
  activation: none        # (?) sigmoid, if the model gives logits
boxes:
  threshold: 0.3          # a pixel above this is text
  box_threshold: 0.5      # mean probability a box needs
  unclip_ratio: 1.5       # (?) growth of shrunk regions, as in differentiable binarization;
                          # or shrink_ratio: 0.4, the ratio of training, for its exact inverse
accuracy:
  max_loss: 0.5           # points of hmean an engine may lose
"""

_RECOGNIZER = """\
  layout: {order}             # (?) NTC, or TNC if time comes first
  kind: {kind}            # (?) logits; probabilities, if the model ends in a softmax
buckets: []               # narrower input widths to build engines for, such as [96, 160]
charset: {charset}
blank: {blank}                  # (?) class of the CTC blank; often the last one
accuracy:
  max_loss: 0.3           # points of CER an engine may lose
"""


def spec_text(spec: DetectorSpec | RecognizerSpec, relative_to: Path) -> str:
    """Return a spec as YAML with comments; the source's path becomes relative to a folder."""
    import json

    from ..spec import spec_beside

    def quoted(text: str) -> str:
        # JSON's strings are YAML's too, but for what YAML takes for line ends or forbids.
        escaped = json.dumps(text, ensure_ascii=False)
        return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped)

    is_detector = spec.role == "detector"
    tail = _DETECTOR if is_detector else _RECOGNIZER
    values: dict[str, Any] = {
        "name": quoted(spec.name),
        "role": spec.role,
        "path": quoted(str(spec_beside(spec, relative_to).source.path)),
        "signature": quoted(spec.source.signature),
        "tags": json.dumps(list(spec.source.tags)),
        "allow_lambda": json.dumps(spec.source.allow_lambda),
        "custom": json.dumps(list(spec.source.custom)),
        "input": quoted(spec.input.name),
        "shape": ", ".join(map(str, spec.input.shape)),
        "layout": spec.input.layout,
        "color": spec.input.color,
        "mean": ", ".join(map(str, spec.input.mean)),
        "scale": ", ".join(map(str, spec.input.scale)),
        "max_batch": spec.input.max_batch,
        "output": quoted(spec.output.name),
    }
    if spec.role == "recognizer":
        values["charset"] = quoted(spec.charset)
        values["blank"] = spec.blank
        values["order"], values["kind"] = spec.output.layout, spec.output.kind
    return (_HEAD + tail).format(**values)


def _essence(spec: DetectorSpec | RecognizerSpec) -> tuple[str, ...]:
    charset = spec.charset if spec.role == "recognizer" else ""
    return spec.name, spec.input.name, spec.output.name, charset


def init(
    model: Annotated[
        Path,
        typer.Argument(
            help="SavedModel folder, or a .keras, .h5, .pb, .meta, .tflite or .onnx file."
        ),
    ],
    role: Annotated[str, typer.Option(help="detector or recognizer")],
    output: Annotated[
        Path | None, typer.Option(help="Spec to write; <role>.yaml by default.")
    ] = None,
    custom: Annotated[
        list[str] | None, typer.Option(help="A layer of your own, module:Class; may be repeated.")
    ] = None,
    input: Annotated[str | None, typer.Option(help="The image: NAME:1x640x640x3.")] = None,
    charset: Annotated[
        Path | None, typer.Option(help="Text file: a character per line, in order of the classes.")
    ] = None,
    signature: Annotated[str | None, typer.Option(help="Of a SavedModel.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Of the graph in a SavedModel that holds several.")
    ] = None,
    allow_lambda: Annotated[
        bool, typer.Option("--allow-lambda", help="Run the Python code in a Keras file's Lambdas.")
    ] = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Look at a model and write a starter spec with comments.

    Example: `ocr-trt init my_detector --role detector`
    """
    quiet_libraries(verbose=verbose)
    from ..common.safe_yaml import load_yaml
    from ..spec import spec_from_dict

    options = ModelOptions(
        role=role,
        input=input,
        custom=tuple(custom or ()),
        charset=charset,
        signature=signature,
        tags=tuple(tag or ()),
        allow_lambda=allow_lambda,
    )
    spec = spec_from_path(model, options, ConsoleReporter(silent=json))
    path = output or Path(f"{role}.yaml")
    if path.exists():
        raise OutputError(f"{path}: is there already; name another with --output")
    text = spec_text(spec, path.parent)
    try:
        same = _essence(spec_from_dict(load_yaml(text))) == _essence(spec)
    except ValueError:
        same = False
    if not same:
        raise SpecError(f"{model}: its names or its charset cannot stand in a spec")
    write_whole(path, text)
    if json:
        print_json({"spec": str(path)})
        return
    print(f"{path}: check the lines marked (?), then run: ocr-trt inspect {path}")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)
