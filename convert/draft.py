"""Draft the first spec of a model from its signature, its graph and some runs of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..common.progress import Reporter, SilentReporter
from ..errors import InputFileError, OcrTrtError, SpecError
from ..spec import (
    DetectorSpec,
    InputSpec,
    RecognizerSpec,
    Role,
    SourceSpec,
    spec_from_dict,
    with_max_batch,
)
from .draft_inputs import (
    FLOATS,
    Shape,
    given_input,
    image_input,
    layout_of,
    listed,
    may_be,
    no_image,
)
from .draft_outputs import choice_note, choose_output, map_entry, scores_entry
from .draft_pixels import own_scaling
from .draft_trials import try_model
from .pipeline import convert
from .sources import Cut, Signature, Source, TensorInfo, open_source

_LINES_AT_ONCE = 16  # largest batch of a recognizer whose batch axis is free
_DETECTOR_SIDE, _LINE_HEIGHT, _LINE_WIDTH = 640, 32, 320
_ALPHANUMERIC = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What the user states about a model, in addition to its role."""

    source: SourceSpec
    """Path and format of the model."""
    input: tuple[str, Shape | None] | None = None
    """Name and shape of the image; None reads them from the signature."""
    mean: tuple[float, ...] = ()
    """See ``InputSpec``."""
    scale: tuple[float, ...] = ()
    """See ``InputSpec``."""
    charset: str | None = None
    """See ``RecognizerSpec``."""


@dataclass(frozen=True, kw_only=True)
class _Ends:
    """The tensors between which an engine runs the model."""

    image: TensorInfo
    output: TensorInfo
    extra: dict[str, Any] = field(default_factory=dict)
    """Further entries of the spec that are known."""


def _output(
    signature: Signature, rank: int, role: Role, image: TensorInfo | None, charset: str | None
) -> TensorInfo | None:
    outputs = [o for o in signature.outputs if may_be(o, rank, FLOATS)]
    is_nchw = image is not None and image.shape is not None and layout_of(image.shape) == "NCHW"
    classes = None if charset is None else len(charset) + 1
    return choose_output(outputs, role, channel_axis=1 if is_nchw else -1, classes=classes)


def _ends(model: Source, role: Role, hints: Hints, reporter: Reporter) -> _Ends:
    """Choose an input and an output of the signature, or inner tensors at which to cut."""
    rank, signature, path = 4 if role == "detector" else 3, model.signature(), hints.source.path
    if signature.left_out:
        reporter.note(
            "these layers were left out, because they compute a loss or decode text: "
            f"{_few(signature.left_out)}"
        )
    if hints.input is None:
        image = image_input(signature)
    else:
        image = given_input(signature, *hints.input, path)
    output = _output(signature, rank, role, image, hints.charset)
    cut = model.cut(rank) if hints.input is None and (image is None or output is None) else None
    if image is not None and output is not None:
        try:
            model.function(image.name, output.name)  # raises if a name is wrong
        except InputFileError:
            # The output may depend on labels, which only a loss behind the network needs.
            cut = model.cut(rank) if hints.input is None else None
            if cut is None or not cut.is_training_only:
                raise
        else:
            return _Ends(image=image, output=output)
    # The signature does not fit the role. Cut the model, or name the end that does not fit.
    if cut is None and image is None:
        raise no_image(signature, path)
    if cut is None:
        raise InputFileError(
            f"{path}: a {role} requires a float output of rank {rank}; the outputs are: "
            f"{listed(signature.outputs)}"
        )
    _report(cut, reporter)
    if role == "detector":
        return _Ends(image=cut.input, output=cut.output)
    kind = "probabilities" if cut.is_probability else "logits"
    blank = {} if cut.blank is None else {"blank": cut.blank}
    known = {"layout": cut.layout, "kind": kind}
    return _Ends(image=cut.input, output=cut.output, extra={"output": known, **blank})


def _report(cut: Cut, reporter: Reporter) -> None:
    """Report the ops outside the network, which no engine will run."""
    for end, name, ops in (
        ("begins", cut.input.name, cut.in_front),
        ("ends", cut.output.name, cut.behind),
    ):
        if ops:
            reporter.note(
                f"the spec cuts the model: the network {end} at {name}; ops left out: {_few(ops)}"
            )
    if cut.in_front:
        reporter.note(
            "set mean and scale in the spec to the normalization that these ops applied to pixels"
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _full_shape(info: TensorInfo, role: Role) -> Shape:
    """Replace the free dimensions of the signature by usual sizes."""
    shape = info.shape or (None, None, None, 3)
    channel_first = layout_of(shape) == "NCHW"
    height, width = (_DETECTOR_SIDE,) * 2 if role == "detector" else (_LINE_HEIGHT, _LINE_WIDTH)
    usual = (1, 3, height, width) if channel_first else (1, height, width, 3)
    a, b, c, d = (known or guess for known, guess in zip(shape, usual, strict=True))
    return a, b, c, d


def _charset(output: str, classes: int | None, given: str | None) -> dict[str, Any]:
    if given is not None:
        if classes not in (None, len(given) + 1):
            raise SpecError(
                f"the output {output} has {classes} classes, so the charset needs "
                f"{classes - 1 if classes else '?'} characters besides the blank, got {len(given)}"
            )
        return {"charset": given}
    if classes == len(_ALPHANUMERIC) + 1:
        return {"charset": _ALPHANUMERIC}
    if classes is None or classes == 96:
        return {}  # printable ASCII, the default of the spec, has 95 characters
    raise InputFileError(
        f"the output {output} has {classes} classes; there are default charsets for 37 and 96 "
        f"only. Run ocr-trt init with --charset FILE, a text file with {classes - 1} characters, "
        "one per line, in the order of the classes without the blank"
    )


def _pixels(
    source: Source, ends: _Ends, settings: InputSpec, hints: Hints, reporter: Reporter
) -> dict[str, Any]:
    """Return mean and scale if the user, the input's dtype or the graph states them."""
    given = {"mean": hints.mean, "scale": hints.scale}
    if ends.image.dtype.startswith(("uint", "int")):  # the model requires unscaled pixels
        given["scale"] = hints.scale or (1.0,)
    elif not hints.mean and not hints.scale:
        own = own_scaling(source, settings, ends.output.name)
        if own is not None:
            given["scale"] = (1.0,)
            reporter.note(
                f"the model itself computes (pixel - {own[0]:.4g}) * {own[1]:.4g}, so the spec "
                "passes pixels from 0 to 255 (scale 1)"
            )
    return {key: value for key, value in given.items() if value}


def _output_entries(
    source: Source,
    ends: _Ends,
    spec: DetectorSpec | RecognizerSpec,
    hints: Hints,
    reporter: Reporter,
) -> dict[str, Any]:
    """Return the entries that describe the output, as runs and the signature state them."""
    outputs = [info.name for info in source.signature().outputs]
    if len(outputs) > 1 and ends.output.name in outputs:
        reporter.note(choice_note(ends.output.name, outputs))
    trials = try_model(source, spec.input, ends.output.name, reads_lines=spec.role == "recognizer")
    if spec.role == "detector":
        found = map_entry(trials, spec.input.layout)
        if "activation" in found:
            reporter.note(
                f"{ends.output.name} has values outside 0 to 1, so the spec applies a sigmoid "
                "(output.activation)"
            )
        return {"output": {"name": ends.output.name, **found}}
    output = scores_entry(trials, ends.output.shape, spec.input.shape[0])
    shape = ends.output.shape if trials.noise is None else trials.noise.shape
    classes = shape[-1] if shape else None
    entries = _charset(ends.output.name, classes, hints.charset)
    if "blank" not in ends.extra and trials.blank is not None:
        entries["blank"] = trials.blank
        reporter.note(f"the blank is class {trials.blank}: the model predicts it for empty images")
    known = {"name": ends.output.name, **output, **ends.extra.get("output", {})}
    return {**entries, **ends.extra, "output": known}


def _batch_entry(
    spec: DetectorSpec | RecognizerSpec, source: Source, image: TensorInfo, reporter: Reporter
) -> DetectorSpec | RecognizerSpec:
    """Set ``max_batch`` of a recognizer over 1 if its graph can be converted for all batches."""
    own = image.shape[0] if image.shape else None
    if spec.role == "detector" or own == 1:
        return spec
    many = with_max_batch(spec, _LINES_AT_ONCE)
    with reporter.step("try the model at several batch sizes"):
        try:
            limit = convert(source, many).batch_limit
        except OcrTrtError as error:  # reported again, with an exit code, by inspect and build
            reporter.note(f"the model cannot be converted yet: {error}")
            return spec
    if limit:
        reporter.note(f"max_batch is 1: {limit}")
        return spec
    return many


def draft_spec(
    role: Role, hints: Hints, reporter: Reporter | None = None
) -> DetectorSpec | RecognizerSpec:
    """Draft a spec from the signature, with usual values for what the model does not state.

    The model runs on noise, at two batch sizes: its output shows whether time comes before the
    batch, whether it is a probability, and which class a recognizer gives to empty images. A model
    that reads files or returns text is cut to its network. ``reporter`` shows the cut, and what
    else was chosen.

    Raises:
        InputFileError: the model cannot be opened, or its signature does not fit the role.
        SpecError: the charset does not fit the number of classes.
    """
    path, reporter = hints.source.path, reporter or SilentReporter()
    source = open_source(hints.source)
    ends = _ends(source, role, hints, reporter)
    given = hints.input[1] if hints.input else None
    shape = given or _full_shape(ends.image, role)
    layout = layout_of(shape)
    channels = shape[1] if layout == "NCHW" else shape[3]
    entry: dict[str, Any] = {"name": ends.image.name, "shape": shape, "layout": layout}
    entry["color"] = "GRAY" if channels == 1 else "RGB"
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-.") or role
    data = {
        "name": name[:64],
        "role": role,
        "source": hints.source.model_dump(exclude_defaults=True),
        "input": entry,
        "output": {"name": ends.output.name},
    }
    entry.update(_pixels(source, ends, spec_from_dict(data).input, hints, reporter))
    data.update(_output_entries(source, ends, spec_from_dict(data), hints, reporter))
    return _batch_entry(spec_from_dict(data), source, ends.image, reporter)
