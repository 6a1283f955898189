"""Draft the first spec of a model from its signature, its graph and some runs of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..common.progress import Reporter, SilentReporter
from ..errors import InputFileError, OcrTrtError
from ..spec import ModelSpec, Role, spec_from_dict, with_max_batch
from .draft_inputs import (
    FLOATS,
    Shape,
    given_input,
    image_input,
    layout_of,
    layout_width,
    listed,
    may_be,
    no_image,
)
from .draft_known import (
    direction_entries,
    family_entries,
    known_entries,
    map_entries,
    score_entries,
)
from .draft_outputs import choice_note, choose_output, joined_output
from .draft_pixels import pixel_entries
from .draft_stated import stated_facts
from .hints import Hints
from .input_multiples import fitting_shape, free_sizes
from .pipeline import convert
from .sources import Cut, Signature, Source, TensorInfo, open_source
from .sources.joined_outputs import JOIN

_RANKS: dict[Role, int] = {"detector": 4, "recognizer": 3, "classifier": 2}
"""Axes of the output."""
_LINES_AT_ONCE = 16  # largest batch of a model of lines whose batch axis is free
_USUAL_SIZES: dict[Role, tuple[int, int]] = {
    "detector": (640, 640),
    "recognizer": (32, 320),
    "classifier": (48, 192),
}
"""Height and width of an input whose size is free."""


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
    rank, signature, path = _RANKS[role], model.signature(), hints.source.path
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
            return _whole_ends(signature, image, output, role, hints)
    # The signature does not fit the role. Cut the model, or name the end that does not fit.
    if cut is None and image is None:
        raise no_image(signature, path)
    if cut is None:
        raise InputFileError(
            f"{path}: a {role} requires a float output of rank {rank}; the outputs are: "
            f"{listed(signature.outputs)}"
        )
    _report(cut, reporter)
    if role != "recognizer":
        return _Ends(image=cut.input, output=cut.output)
    kind = "probabilities" if cut.is_probability else "logits"
    blank = {} if cut.blank is None else {"blank": cut.blank}
    known = {"layout": cut.layout, "kind": kind}
    return _Ends(image=cut.input, output=cut.output, extra={"output": known, **blank})


def _whole_ends(
    signature: Signature, image: TensorInfo, output: TensorInfo, role: Role, hints: Hints
) -> _Ends:
    """Return the ends of a model that is not cut; two maps of a detector may be joined."""
    if role != "detector":
        return _Ends(image=image, output=output)
    axis = 1 if layout_of(image.shape or (None, None, None, 3)) == "NCHW" else -1
    maps = [info for info in signature.outputs if may_be(info, 4, FLOATS)]
    family = hints.preset.output.get("family")
    output, known = joined_output(output, maps, family, axis)
    return _Ends(image=image, output=output, extra={"output": known})


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


def _full_shape(info: TensorInfo, role: Role, usual_size: tuple[int, int] | None) -> Shape:
    """Replace the free dimensions of the signature by usual sizes."""
    shape = info.shape or (None, None, None, 3)
    channel_first = layout_of(shape) == "NCHW"
    height, width = usual_size or _USUAL_SIZES[role]
    usual = (1, 3, height, width) if channel_first else (1, height, width, 3)
    a, b, c, d = (known or guess for known, guess in zip(shape, usual, strict=True))
    return a, b, c, d


def _batch_entry(
    spec: ModelSpec, source: Source, image: TensorInfo, reporter: Reporter
) -> ModelSpec:
    """Set ``max_batch`` over 1 if the model reads lines and its batch axis can be freed."""
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


def _image_entry(
    image: TensorInfo, role: Role, hints: Hints, known: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the entries of the input; ``known``: those that the family and the files state."""
    given = hints.input[1] if hints.input else None
    shape = given or _full_shape(image, role, hints.preset.input.size)
    layout = layout_of(shape)
    channels = shape[1] if layout == "NCHW" else shape[3]
    entry = {"name": image.name, "shape": shape, "layout": layout, "color": "RGB", **known}
    if channels == 1:
        entry["color"] = "GRAY"
        # A family's values per color channel, for a model of the family that reads gray images.
        for key in ("mean", "scale"):
            if key in entry:
                entry[key] = (sum(entry[key]) / len(entry[key]),)
    return entry


def draft_spec(role: Role, hints: Hints, reporter: Reporter | None = None) -> ModelSpec:
    """Draft a spec from the model's signature, files, graph and runs, its family and the user.

    What the user states comes first, then what the graph computes, what the model's files state,
    what its family requires, and what runs show; usual values fill the rest. The model runs on
    noise, at two batch sizes: its output shows whether time comes before the batch, whether it is a
    probability, and which class a recognizer gives to empty images. Runs at several sizes show
    which multiples an input must be of. A model that reads files or returns text is cut to its
    network. ``reporter`` shows the cut, and what else was chosen.

    Raises:
        InputFileError: the model cannot be opened, or its signature does not fit the role.
        SpecError: the charset does not fit the number of classes, or the given shape does not fit
            the model.
    """
    path, reporter = hints.source.path, reporter or SilentReporter()
    source = open_source(hints.source)
    ends, stated = _ends(source, role, hints, reporter), stated_facts(hints.source)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-.") or role
    known = known_entries(role, hints.preset, stated, reporter)
    data: dict[str, Any] = {
        **known,
        "name": name[:64],
        "role": role,
        "source": hints.source.model_dump(exclude_defaults=True),
        "input": _image_entry(ends.image, role, hints, known["input"]),
        "output": {"name": ends.output.name},
    }
    # A model of a fixed width may be narrower than the usual buckets of its family.
    width = layout_width(data["input"]["shape"])
    data.update({"buckets": [b for b in data["buckets"] if b < width]} if "buckets" in data else {})
    spec, given = spec_from_dict(data), hints.input is not None and hints.input[1] is not None
    if given or not all(free_sizes(source, spec.input)):  # further sizes are those of the family
        data.pop("sizes", None)
    data["input"]["shape"] = fitting_shape(source, spec, is_given=given, reporter=reporter)
    spec = spec_from_dict(data)
    is_whole = ends.image.dtype.startswith(("uint", "int"))  # the model requires unscaled pixels
    data["input"].update(pixel_entries(source, spec, hints, is_whole=is_whole, reporter=reporter))
    spec = spec_from_dict(data)
    outputs = [info.name for info in source.signature().outputs]
    if len(outputs) > 1 and {*ends.output.name.split(JOIN)} & {*outputs}:
        reporter.note(choice_note(ends.output.name, outputs))
    if spec.role == "detector":
        of_outputs = ends.extra.get("output", {})
        data["output"] = map_entries(source, spec, hints.preset, of_outputs, reporter)
        data.update(family_entries(data))
    elif spec.role == "classifier":
        data.update(direction_entries(source, spec, hints.preset))
    else:
        scores = ends.output.shape, ends.extra
        data.update(score_entries(source, spec, hints, scores, stated.characters, reporter))
    return _batch_entry(spec_from_dict(data), source, ends.image, reporter)
