"""Find the numbers that a model's input height and width must be multiples of.

A U-Net with five poolings concatenates maps whose sizes agree only if the input is a multiple of
32. Other models run at any size, but round it down, so that their map covers a part of the image.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..common.input_size import InputSize
from ..common.onnx_session import onnx_session
from ..common.progress import Reporter
from ..errors import OcrTrtError, SpecError
from ..ocr.detector import covers
from ..spec import InputSpec, ModelSpec, Role
from .sources import Source
from .sources.spellings import own_spelling

_CANDIDATES = (
    *((1, 101), (2, 53), (3, 37), (4, 29), (6, 17), (7, 17), (8, 13), (12, 11), (14, 11)),
    *((16, 11), (24, 5), (28, 5), (32, 5), (48, 5), (56, 5), (64, 5), (96, 5), (112, 5), (128, 5)),
)
"""Multiples, and a prime factor for each: the size that is run is a multiple of no larger one."""

Multiples = tuple[int, int]
"""For height and width; 1: any size."""


def free_sizes(source: Source, settings: InputSpec) -> tuple[bool, bool]:
    """Return whether the model leaves the height and the width of its input open."""
    shapes = {info.name: info.shape for info in source.signature().inputs}
    shape = shapes.get(own_spelling(settings.name, list(shapes)), ())
    if shape is None:
        return True, True
    if len(shape) != 4:  # an inner tensor at which the model is cut
        return False, False
    height, width = (1, 2) if settings.layout == "NHWC" else (2, 3)
    return shape[height] is None, shape[width] is None


def input_multiples(
    source: Source, settings: InputSpec, output_name: str, role: Role
) -> Multiples | None:
    """Return the multiples, from runs at several sizes; None if the model has fixed sizes.

    Also None if the model does not run at any of the sizes. The height of a model of lines stays
    that of the spec.
    """
    tall, wide = free_sizes(source, settings)
    if role != "detector":
        tall = False
    if not tall and not wide:
        return None
    run = _runner(source, settings, output_name)
    if run is None:
        return None
    for multiple, factor in _CANDIDATES:
        size = multiple * factor
        height, width = size if tall else settings.height, size if wide else settings.width
        shape = run(height, width)
        if shape is None or (role == "detector" and not _covers(shape, height, width, settings)):
            continue
        return multiple if tall else 1, multiple if wide else 1
    return None


def _covers(shape: tuple[int, ...], height: int, width: int, settings: InputSpec) -> bool:
    """Whether a map covers the whole input, apart from less than one of its pixels."""
    if len(shape) not in (3, 4):
        return True
    rows = 1 if len(shape) == 3 or settings.layout == "NHWC" else 2
    pairs = zip((height, width), shape[rows : rows + 2], strict=True)
    return all(covers(own, of_map) for own, of_map in pairs)


def fitting_shape(
    source: Source, spec: ModelSpec, *, is_given: bool, reporter: Reporter
) -> tuple[int, int, int, int]:
    """Return the input shape of a draft, with sizes that fit the model.

    Raises:
        SpecError: the user gave the shape, and it does not fit.
    """
    settings = spec.input
    multiples = input_multiples(source, settings, spec.output.name, spec.role)
    if multiples is None or multiples == (1, 1):
        return settings.shape
    height, width = map(nearest_multiple, settings.size, multiples)
    reason = unfit_reason(settings.size, multiples)
    if reason and is_given:
        raise SpecError(f"{spec.source.path}: {reason}")
    reporter.note(f"input.shape: {_rule(multiples)}, as runs at several sizes show")
    batch, channels = settings.shape[0], settings.channels
    if settings.layout == "NHWC":
        return batch, height, width, channels
    return batch, channels, height, width


def size_error(source: Source, spec: ModelSpec, size: InputSize) -> SpecError | None:
    """Return an error if an input of a height and width does not fit the model."""
    multiples = input_multiples(source, spec.input, spec.output.name, spec.role)
    if multiples is None or not (reason := unfit_reason(size, multiples)):
        return None
    return SpecError(f"{spec.name}: {reason}")


def unfit_reason(size: tuple[int, int], multiples: Multiples) -> str:
    """Return why an input of (height, width) does not fit, and what does; "" if it fits."""
    if all(side % multiple == 0 for side, multiple in zip(size, multiples, strict=True)):
        return ""
    height, width = map(nearest_multiple, size, multiples)
    return (
        f"an input of {size[0]}x{size[1]} (height x width) does not fit this model: "
        f"{_rule(multiples)}; use {height}x{width}"
    )


def _rule(multiples: Multiples) -> str:
    tall, wide = multiples
    if tall == wide:
        return f"height and width must be multiples of {tall}"
    names = [
        f"the {name} must be a multiple of {multiple}"
        for name, multiple in (("height", tall), ("width", wide))
        if multiple > 1
    ]
    return " and ".join(names)


def nearest_multiple(size: int, multiple: int) -> int:
    """Return the multiple that is nearest to a size; the larger one if two are."""
    return max(multiple, (2 * size + multiple) // (2 * multiple) * multiple)


def _runner(
    source: Source, settings: InputSpec, output_name: str
) -> Callable[[int, int], tuple[int, ...] | None] | None:
    """Return a function that runs the model at a size and returns the output's shape."""

    def image(height: int, width: int) -> Any:
        batch, channels = settings.shape[0], settings.channels
        if settings.layout == "NHWC":
            return np.zeros((batch, height, width, channels), np.float32)
        return np.zeros((batch, channels, height, width), np.float32)

    function = source.function(settings.name, output_name)
    call: Callable[[Any], Any]
    if function is not None:
        import tensorflow as tf  # imported already: the source is a model of TensorFlow

        def call(pixels: Any) -> Any:
            return function(tf.constant(pixels))
    else:
        try:
            model = source.to_onnx(settings.name, settings.shape, output_name).whole()
        except OcrTrtError:
            return None
        import onnx_ir as ir

        # One session for all sizes: the input is declared free again.
        (entry, *_) = model.graph.inputs
        entry.shape = ir.Shape([None] * 4)
        try:
            session = onnx_session(ir.to_proto(model))
        except Exception:  # onnxruntime has no common base class
            return None

        def call(pixels: Any) -> Any:
            return session.run(None, {settings.name: pixels})[0]

    return partial(_shape_of, call, image)


def _shape_of(
    call: Callable[[Any], Any], image: Callable[[int, int], Any], height: int, width: int
) -> tuple[int, ...] | None:
    """Return the shape of the output at a size; None if the model does not run."""
    try:
        return tuple(np.shape(call(image(height, width))))
    except Exception:  # whatever the user's graph raises
        return None
