"""A first spec for a model, from what its signature tells."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import InputFileError, SpecError
from ..spec import DetectorSpec, RecognizerSpec, Role, SourceSpec, spec_from_dict
from .sources import Signature, TensorInfo, open_source

_DETECTOR_SIDE, _LINE_HEIGHT, _LINE_WIDTH = 640, 32, 320
_ALPHANUMERIC = "0123456789abcdefghijklmnopqrstuvwxyz"

Shape = tuple[int, int, int, int]


def _image_input(signature: Signature, path: Path, name: str | None) -> TensorInfo:
    images = [
        info
        for info in signature.inputs
        if (info.name == name if name else info.shape is None or len(info.shape) == 4)
    ]
    if len(images) != 1:
        listed = ", ".join(f"{i.name} {_dims(i.shape)}" for i in signature.inputs) or "none"
        raise InputFileError(f"{path}: which input is the picture? It has: {listed}; say --input")
    return images[0]


def _dims(shape: tuple[int | None, ...] | None) -> str:
    return "x".join("?" if d is None else str(d) for d in shape) if shape else "of unknown rank"


def _layout(shape: tuple[int | None, ...]) -> str:
    return "NCHW" if shape[1] in (1, 3) and shape[3] not in (1, 3) else "NHWC"


def _full_shape(info: TensorInfo, role: Role) -> Shape:
    """Fill in the sizes that the signature leaves open."""
    shape = info.shape or (None, None, None, 3)
    channel_first = _layout(shape) == "NCHW"
    height, width = (_DETECTOR_SIDE,) * 2 if role == "detector" else (_LINE_HEIGHT, _LINE_WIDTH)
    usual = (1, 3, height, width) if channel_first else (1, height, width, 3)
    a, b, c, d = (known or guess for known, guess in zip(shape, usual, strict=True))
    return a, b, c, d


def _output(signature: Signature, path: Path, role: Role) -> TensorInfo:
    rank = 4 if role == "detector" else 3
    fitting = [o for o in signature.outputs if o.shape is None or len(o.shape) == rank]
    if not fitting:
        listed = ", ".join(f"{o.name} {_dims(o.shape)}" for o in signature.outputs)
        raise InputFileError(f"{path}: no output of rank {rank}, as a {role} has; it has: {listed}")
    return fitting[0]


def _charset(output: TensorInfo) -> dict[str, Any]:
    classes = output.shape[-1] if output.shape else None
    if classes == len(_ALPHANUMERIC) + 1:
        return {"charset": _ALPHANUMERIC}
    if classes is None or classes == 96:
        return {}
    raise InputFileError(
        f"the output {output.name} has {classes} classes, and only 37 and 96 have a usual charset; "
        "write a spec with ocr-trt init and fill in its charset"
    )


def source_spec(path: Path, custom: tuple[str, ...]) -> SourceSpec:
    """Return where a model lies, and the layers of its user's own.

    Raises:
        SpecError: a layer is not named as "module:Class".
    """
    try:
        return SourceSpec(path=path, custom=custom)
    except ValidationError:
        raise SpecError(f"--custom {' '.join(custom)}: expected module:Class") from None


def draft_spec(
    path: Path,
    role: Role,
    *,
    given: tuple[str, Shape] | None = None,
    mean: tuple[float, ...] = (),
    scale: tuple[float, ...] = (),
    custom: tuple[str, ...] = (),
) -> DetectorSpec | RecognizerSpec:
    """Draft a spec: what the signature leaves open gets its usual value.

    Args:
        path: the model.
        role: what the model is for.
        given: name and shape of the input, if the signature is not to be asked.
        mean: see ``InputSpec``.
        scale: see ``InputSpec``.
        custom: see ``SourceSpec``.

    Raises:
        InputFileError: the model cannot be opened, or does not look like its role.
    """
    source = source_spec(path, custom)
    signature = open_source(source).signature()
    image = _image_input(signature, path, given[0] if given else None)
    shape = given[1] if given else _full_shape(image, role)
    output = _output(signature, path, role)
    layout = _layout(shape)
    channels = shape[1] if layout == "NCHW" else shape[3]
    entry: dict[str, Any] = {"name": image.name, "shape": shape, "layout": layout}
    entry["color"] = "GREY" if channels == 1 else "RGB"
    entry.update({key: value for key, value in (("mean", mean), ("scale", scale)) if value})
    extra = _charset(output) if role == "recognizer" else {}
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-.") or role
    return spec_from_dict(
        {
            "name": name[:64],
            "role": role,
            "source": {"path": path, "custom": custom},
            "input": entry,
            "output": {"name": output.name},
            **extra,
        }
    )
