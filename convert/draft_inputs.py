"""Choose the image among the inputs of a model, for ``draft``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import InputFileError
from .sources import Signature, TensorInfo
from .sources.spellings import own_spelling

Shape = tuple[int, int, int, int]

FLOATS = ("float", "bfloat16")
"""Prefixes of the names of float types: float also begins float16, float32 and float64."""


def image_input(signature: Signature) -> TensorInfo | None:
    """Return the only input that can be the image, if there is one."""
    images = [i for i in signature.inputs if may_be(i, 4, (*FLOATS, "uint8", "int"))]
    return images[0] if len(images) == 1 else None


def no_image(signature: Signature, path: Path) -> InputFileError:
    """Return the error for a model none of whose inputs is clearly the image."""
    if len(signature.inputs) == 1:
        _check_rank(signature.inputs[0], path)
    return InputFileError(
        f"{path}: cannot determine which input is the image; the inputs are: "
        f"{listed(signature.inputs)}; name one with --input"
    )


def given_input(signature: Signature, name: str, shape: Shape | None, path: Path) -> TensorInfo:
    """Return an input of the model, or a tensor inside it."""
    known = [info.name for info in signature.inputs]
    own = own_spelling(name, known)
    if own not in known and shape is None:
        raise InputFileError(
            f"{path}: no input named {name!r}; it has: {', '.join(known)}. For a tensor inside the "
            f"model give its shape, too: --input {name}:1x640x640x3"
        )
    for info in signature.inputs:
        if info.name == own:
            _check_rank(info, path)
            return info
    return TensorInfo(name=name, shape=shape, dtype="float32")


def _check_rank(info: TensorInfo, path: Path) -> None:
    """Raise an error if an input cannot be a batch of images with channels."""
    if info.shape is not None and len(info.shape) != 4:
        raise InputFileError(
            f"{path}: the input {info.name} has the shape {dims(info.shape)}, but images have 4 "
            "axes: batch, height, width and channels, or batch, channels, height and width. Export "
            "a model that begins with a Reshape from such images to this shape"
        )


def may_be(info: TensorInfo, rank: int, dtypes: tuple[str, ...]) -> bool:
    """Whether a tensor can have this rank and one of these types."""
    return info.dtype.startswith(dtypes) and (info.shape is None or len(info.shape) == rank)


def listed(infos: Sequence[TensorInfo]) -> str:
    """Return names, types and shapes as text."""
    return ", ".join(f"{i.name} {i.dtype} {dims(i.shape)}" for i in infos) or "none"


def dims(shape: tuple[int | None, ...] | None) -> str:
    """Return a shape as text, such as ?x32x320x1."""
    return "x".join("?" if d is None else str(d) for d in shape) if shape else "of unknown rank"


def layout_of(shape: tuple[int | None, ...]) -> str:
    """Guess the layout: an axis of size 1 or 3 is the channels; NHWC if that decides nothing."""
    return "NCHW" if shape[1] in (1, 3) and shape[3] not in (1, 3) else "NHWC"


def layout_width(shape: Shape) -> int:
    """Return the width of an image of a shape; see :func:`layout_of`."""
    return shape[3 if layout_of(shape) == "NCHW" else 2]
