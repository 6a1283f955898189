"""A starter spec as YAML with comments, which ``init`` and ``models get`` write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..spec import BoxSettings, DetectorSpec, ModelSpec

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""Characters that a JSON string may contain, but that YAML forbids or reads as line ends."""

_HEAD = """\
# Spec of {name}, drafted by ocr-trt init from the model. Check every line marked (?).
version: 1
name: {name}
role: {role}
source:
  path: {path}
  signature: {signature}    # name of the SavedModel's signature
  tags: {tags}                # tags of the graph, in a SavedModel with several graphs
  allow_lambda: {allow_lambda}     # run the Python code in Lambda layers; for files you trust
  custom: {custom}              # custom layers of a Keras file: module:Class
  constants: {constants}           # values of further inputs: a number, or a .npy file
input:
  name: {input}
  shape: [{shape}]     # (?) sizes that the model leaves open were guessed
  layout: {layout}
  color: {color}              # (?) RGB, BGR or GRAY: the order the model was trained with
  mean: [{mean}]                # (?) the model receives (pixel - mean) * scale, pixels 0..255
  scale: [{scale}]
  pad: {pad}                # (?) pixel value around an image that does not fill the input
  max_batch: {max_batch}            # above 1: any batch size up to this; needs a free batch axis
output:
  name: {output}
"""

_OUTPUTS = {
    "map": """\
  channel: {channel}              # (?) which channel of the output is text
  activation: {activation}        # (?) sigmoid if the model outputs logits
""",
    "east": """\
  family: east
  geometry: {geometry}          # (?) rbox: 4 distances and an angle; quad: offsets of 4 corners
  score: {score}                # (?) the channel of the score, and the first one of the geometry
  first: {first}
  activation: {activation}        # (?) sigmoid if the scores are logits
  geometry_scale: {geometry_scale}     # (?) pixels of the input per unit of the geometry
""",
    "craft": """\
  family: craft
  region: {region}               # (?) the channel of the characters
  affinity: {affinity}             # (?) the channel of the gaps between characters
  activation: {activation}        # (?) sigmoid if the model outputs logits
""",
}
_MAP_BOXES = """\
boxes:
  threshold: {threshold}          # a pixel above this is text
  box_threshold: {box_threshold}      # smallest mean probability of a box
  unclip_ratio: {unclip_ratio}       # (?) growth of shrunk regions by differentiable binarization
  shrink_ratio: {shrink_ratio}    # in place of unclip_ratio: that of training, such as 0.4
  score_mode: {score_mode}        # mean probability in the region; fast: in the rectangle around it
  dilate: {dilate}           # true: close thin gaps in the text mask, as PaddleOCR's use_dilation
  shape: {box_shape}         # polygon: polygons around curved text, which is read straightened
"""
_EAST_BOXES = """\
boxes:
  threshold: {threshold}          # a pixel above this states a box
  box_threshold: {box_threshold}      # smallest mean score in a box
  overlap: {overlap}            # boxes with a larger intersection over union are one box
"""
_CRAFT_BOXES = """\
boxes:
  threshold: {threshold}          # a pixel above this is part of a character
  link_threshold: {link_threshold}     # a pixel of the other map above this joins characters
  box_threshold: {box_threshold}      # smallest maximum of the characters of a word
  shape: {box_shape}         # polygon: polygons around curved words, which are read straightened
"""
_INPUT_SIZES = """\
# Further inputs, such as [[736, 1280], [1280, 736]]; an image uses one that does not shrink it.
sizes: {sizes}
limit_side: {limit_side}        # PaddleOCR's det_limit_side_len; see limit_type
limit_type: {limit_type}         # min: enlarge small images to limit_side; max: shrink large ones
min_text_height: {min_text_height}     # pixels of the input; lower text is often missed
accuracy:
  max_loss: {max_loss}           # points of hmean that an engine may lose
"""
_BOXES = {"map": _MAP_BOXES, "east": _EAST_BOXES, "craft": _CRAFT_BOXES}

_RECOGNIZER = """\
  layout: {order}             # (?) NTC, or TNC if time is the first axis
  kind: {kind}            # (?) logits, or probabilities if the model ends in a softmax
buckets: {buckets}               # narrower input widths to build engines for, such as [96, 160]
width_step: {width_step}          # OpenVINO and onnxruntime: pad lines to multiples of this
                          # many columns; null: to the widths in buckets
max_squeeze: {max_squeeze}          # a line up to this factor wider than the input is squeezed;
                          # a wider one is read in overlapping windows
charset: {charset}
blank: {blank}                  # (?) class of the CTC blank; often the last class
accuracy:
  max_loss: {max_loss}           # points of CER that an engine may lose
"""

_CLASSIFIER = """\
  kind: {kind}            # (?) probabilities if the model ends in a softmax or sigmoid, or logits
angles: {angles}            # (?) clockwise turn of the text by class: at 90, it runs down
threshold: {threshold}            # crops below this probability are read in every direction
fit: {fit}                  # (?) pad: keep the proportions of a crop; stretch: fill the input
accuracy:
  max_loss: {max_loss}           # points of accuracy that an engine may lose
"""
_DIFFERENCE = """\
  max_difference: {max_difference}    # largest difference of an fp32 engine's output
"""
_TAILS = {"recognizer": _RECOGNIZER, "classifier": _CLASSIFIER}


def spec_text(spec: ModelSpec, relative_to: Path) -> str:
    """Return a spec as YAML with comments; ``relative_to``: the folder of the spec file."""
    from ..spec import spec_beside

    def quoted(text: str) -> str:
        # Apart from those characters, a JSON string is a YAML string.
        escaped = json.dumps(text, ensure_ascii=False)
        return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped)

    source = spec_beside(spec, relative_to).source
    tail = _TAILS.get(spec.role, "")
    values: dict[str, Any] = {
        "name": quoted(spec.name),
        "role": spec.role,
        "path": quoted(str(source.path)),
        "signature": quoted(spec.source.signature),
        "tags": json.dumps(list(spec.source.tags)),
        "allow_lambda": json.dumps(spec.source.allow_lambda),
        "custom": json.dumps(list(spec.source.custom)),
        "constants": _mapping(source.constants, quoted),
        "input": quoted(spec.input.name),
        "shape": ", ".join(map(str, spec.input.shape)),
        "layout": spec.input.layout,
        "color": spec.input.color,
        "mean": ", ".join(map(str, spec.input.mean)),
        "scale": ", ".join(map(str, spec.input.scale)),
        "pad": spec.input.pad,
        "max_batch": spec.input.max_batch,
        "output": quoted(spec.output.name),
        "max_loss": spec.accuracy.max_loss,
    }
    if spec.role == "detector":
        values.update(_box_entries(spec))
        family = spec.output.family
        tail = _with_further_boxes(spec.boxes, _OUTPUTS[family] + _BOXES[family] + _INPUT_SIZES)
    elif spec.role == "recognizer":
        values["charset"] = quoted(spec.charset)
        values["blank"], values["buckets"] = spec.blank, list(spec.buckets)
        values["max_squeeze"] = spec.max_squeeze
        values["width_step"] = json.dumps(spec.width_step)
        values["order"], values["kind"] = spec.output.layout, spec.output.kind
    else:
        values["kind"], values["angles"] = spec.output.kind, list(spec.angles)
        values["threshold"], values["fit"] = spec.threshold, spec.fit
    if "max_difference" in spec.accuracy.model_dump(exclude_defaults=True):
        values["max_difference"] = spec.accuracy.max_difference
        tail += _DIFFERENCE
    return "\n".join(_spec_line(line, values) for line in (_HEAD + tail).split("\n"))


def _box_entries(spec: DetectorSpec) -> dict[str, Any]:
    """Return the values of a detector's output and boxes as they are written in YAML."""
    words = {key: value for key, value in spec.boxes if isinstance(value, str)}
    boxes = {key: words.get(key) or json.dumps(value) for key, value in spec.boxes}
    boxes["box_shape"] = boxes.pop("shape")  # "shape" is that of the input
    return {
        **{key: value for key, value in spec.output if key != "name"},
        "sizes": json.dumps(spec.sizes),
        "limit_side": json.dumps(spec.limit_side),
        "limit_type": spec.limit_type,
        "min_text_height": spec.min_text_height,
        **boxes,
    }


def _with_further_boxes(boxes: BoxSettings, template: str) -> str:
    """Add lines to a template for those settings of boxes that are not their defaults."""
    further = "".join(
        f"  {key}: {{{key}}}\n"
        for key in sorted(boxes.model_dump(exclude_defaults=True))
        if f"\n  {key}: " not in template
    )
    return template.replace("# Further inputs", f"{further}# Further inputs")


def _mapping(values: Mapping[str, float | Path], quoted: Callable[[str], str]) -> str:
    """Return a YAML mapping in one line."""
    entries = (
        f"{quoted(name)}: {quoted(str(value)) if isinstance(value, Path) else repr(value)}"
        for name, value in values.items()
    )
    return f"{{{', '.join(entries)}}}"


def _spec_line(template: str, values: dict[str, Any]) -> str:
    """Fill in a line of a template, and align the comment at its end with those of other lines."""
    entry, mark, comment = template.partition("#")  # before the values, which may contain a "#"
    if not entry or not mark:
        return template.format(**values)
    return f"{entry.rstrip().format(**values):<23} {mark}{comment}"
