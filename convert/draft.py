"""Draft the first spec of a model from its signature."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common.progress import Reporter, SilentReporter
from ..errors import InputFileError, SpecError
from ..spec import DetectorSpec, RecognizerSpec, Role, SourceSpec, spec_from_dict
from .sources import Cut, Signature, Source, TensorInfo, open_source
from .sources.spellings import own_spelling

_LINES_AT_ONCE = 16  # largest batch of a recognizer whose batch axis is free
_DETECTOR_SIDE, _LINE_HEIGHT, _LINE_WIDTH = 640, 32, 320
_ALPHANUMERIC = "0123456789abcdefghijklmnopqrstuvwxyz"

Shape = tuple[int, int, int, int]


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


def _image_input(signature: Signature) -> TensorInfo | None:
    images = [i for i in signature.inputs if _may_be(i, 4, ("float", "uint8", "int"))]
    return images[0] if len(images) == 1 else None


def _given_input(signature: Signature, name: str, shape: Shape | None, path: Path) -> TensorInfo:
    """Return an input of the model, or a tensor inside it."""
    known = [info.name for info in signature.inputs]
    own = own_spelling(name, known)
    if own not in known and shape is None:
        raise InputFileError(
            f"{path}: no input named {name!r}; it has: {', '.join(known)}. For a tensor inside the "
            f"model give its shape, too: --input {name}:1x640x640x3"
        )
    inside = TensorInfo(name=name, shape=shape, dtype="float32")
    return next((info for info in signature.inputs if info.name == own), inside)


def _output(signature: Signature, rank: int) -> TensorInfo | None:
    return next((o for o in signature.outputs if _may_be(o, rank, ("float",))), None)


def _may_be(info: TensorInfo, rank: int, dtypes: tuple[str, ...]) -> bool:
    return info.dtype.startswith(dtypes) and (info.shape is None or len(info.shape) == rank)


def _listed(infos: Sequence[TensorInfo]) -> str:
    return ", ".join(f"{i.name} {i.dtype} {_dims(i.shape)}" for i in infos) or "none"


def _ends(model: Source, role: Role, hints: Hints, reporter: Reporter) -> _Ends:
    """Choose an input and an output of the signature, or inner tensors at which to cut."""
    rank, signature, path = 4 if role == "detector" else 3, model.signature(), hints.source.path
    output = _output(signature, rank)
    if signature.left_out:
        reporter.note(f"left out as a loss or a decoder: the layers {_few(signature.left_out)}")
    if hints.input is None:
        image = _image_input(signature)
    else:
        image = _given_input(signature, *hints.input, path)
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
        listed = _listed(signature.inputs)
        raise InputFileError(
            f"{path}: cannot determine which input is the image; the inputs are: {listed}; name "
            "one with --input"
        )
    if cut is None:
        listed = _listed(signature.outputs)
        raise InputFileError(
            f"{path}: a {role} requires a float output of rank {rank}; the outputs are: {listed}"
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


def _dims(shape: tuple[int | None, ...] | None) -> str:
    return "x".join("?" if d is None else str(d) for d in shape) if shape else "of unknown rank"


def _layout(shape: tuple[int | None, ...]) -> str:
    """Guess the layout: an axis of size 1 or 3 is the channels; NHWC if that decides nothing."""
    return "NCHW" if shape[1] in (1, 3) and shape[3] not in (1, 3) else "NHWC"


def _full_shape(info: TensorInfo, role: Role) -> Shape:
    """Replace the free dimensions of the signature by usual sizes."""
    shape = info.shape or (None, None, None, 3)
    channel_first = _layout(shape) == "NCHW"
    height, width = (_DETECTOR_SIDE,) * 2 if role == "detector" else (_LINE_HEIGHT, _LINE_WIDTH)
    usual = (1, 3, height, width) if channel_first else (1, height, width, 3)
    a, b, c, d = (known or guess for known, guess in zip(shape, usual, strict=True))
    return a, b, c, d


def _charset(output: TensorInfo, given: str | None) -> dict[str, Any]:
    classes = output.shape[-1] if output.shape else None
    if given is not None:
        if classes not in (None, len(given) + 1):
            raise SpecError(
                f"the output {output.name} has {classes} classes, so the charset needs "
                f"{classes - 1 if classes else '?'} characters besides the blank, got {len(given)}"
            )
        return {"charset": given}
    if classes == len(_ALPHANUMERIC) + 1:
        return {"charset": _ALPHANUMERIC}
    if classes is None or classes == 96:
        return {}  # printable ASCII, the default of the spec, has 95 characters
    raise InputFileError(
        f"the output {output.name} has {classes} classes; there are default charsets for 37 and 96 "
        f"only. Run ocr-trt init with --charset FILE, a text file with {classes - 1} characters, "
        "one per line, in the order of the classes without the blank"
    )


def _pixels(image: TensorInfo, hints: Hints) -> dict[str, Any]:
    """Return mean and scale if the user or the input's dtype states them."""
    given = {"mean": hints.mean, "scale": hints.scale}
    if image.dtype.startswith(("uint", "int")):  # the model requires unscaled pixels
        given["scale"] = hints.scale or (1.0,)
    return {key: value for key, value in given.items() if value}


def draft_spec(
    role: Role, hints: Hints, reporter: Reporter | None = None
) -> DetectorSpec | RecognizerSpec:
    """Draft a spec from the signature, with usual values for what the signature does not state.

    A model that reads files or returns text is cut to its network; ``reporter`` shows the cut.

    Raises:
        InputFileError: the model cannot be opened, or its signature does not fit the role.
        SpecError: the charset does not fit the number of classes.
    """
    path = hints.source.path
    ends = _ends(open_source(hints.source), role, hints, reporter or SilentReporter())
    given = hints.input[1] if hints.input else None
    shape = given or _full_shape(ends.image, role)
    layout = _layout(shape)
    channels = shape[1] if layout == "NCHW" else shape[3]
    entry: dict[str, Any] = {"name": ends.image.name, "shape": shape, "layout": layout}
    entry["color"] = "GRAY" if channels == 1 else "RGB"
    entry.update(_pixels(ends.image, hints))
    if role == "recognizer" and (ends.image.shape is None or ends.image.shape[0] is None):
        entry["max_batch"] = _LINES_AT_ONCE
    extra = _charset(ends.output, hints.charset) if role == "recognizer" else {}
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-.") or role
    return spec_from_dict(
        {
            "name": name[:64],
            "role": role,
            "source": hints.source.model_dump(exclude_defaults=True),
            "input": entry,
            **extra,
            **ends.extra,
            "output": {"name": ends.output.name, **ends.extra.get("output", {})},
        }
    )
