"""Find out how pixels must be normalized, also from the preprocessing inside a model."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..common.progress import Reporter
from ..errors import OcrTrtError
from ..spec import InputSpec, ModelSpec
from .analysis.regions import evaluate, nodes_between, positions, submodel
from .graph import constant, name_of
from .hints import Hints
from .sources import Source

_WEIGHTED = ("Conv", "Gemm", "MatMul")
_LARGEST_SCALE = 1 / 16
"""A model that multiplies pixels by less than this expects them from 0 to 255."""
_SMALLEST_MEAN = 16.0
"""A model that subtracts more than this expects pixels from 0 to 255."""


def pixel_entries(
    source: Source,
    spec: ModelSpec,
    hints: Hints,
    *,
    is_whole: bool,
    reporter: Reporter,
) -> dict[str, tuple[float, ...]]:
    """Return mean and scale if the user, the input's type or the graph states them.

    ``is_whole``: the input is of an integer type. A model that normalizes pixels itself receives
    them unchanged, whatever its family requires.
    """
    unchanged: dict[str, tuple[float, ...]] = {"mean": (0.0,), "scale": (1.0,)}
    given = {key: value for key in unchanged if (value := getattr(hints, key))}
    if is_whole:
        return {**unchanged, **given}
    own = None if given else own_scaling(source, spec.input, spec.output.name)
    if own is None:
        return given
    reporter.note(
        f"the model itself computes (pixel - {own[0]:.4g}) * {own[1]:.4g}, so the spec passes "
        "pixels from 0 to 255 (mean 0, scale 1)"
    )
    return unchanged


def own_scaling(
    source: Source, settings: InputSpec, output_name: str
) -> tuple[float, float] | None:
    """Return (mean, scale) if the model itself computes (pixel - mean) * scale from whole pixels.

    The layers in front of the first convolution or matrix product are run on three images of one
    color. None if they do not compute such a function, or if its numbers do not fit pixels from 0
    to 255.
    """
    try:
        model = source.to_onnx(settings.name, settings.shape, output_name).whole()
    except OcrTrtError:
        return None
    (image, *_) = model.graph.inputs
    first = next((node for node in model.graph if _has_weights(node)), None)
    if first is None or first.inputs[0] is image or first.inputs[0] is None:
        return None
    nodes = nodes_between([image], first.inputs[0], positions(model.graph))
    if not nodes:
        return None
    image.shape = ir.Shape(settings.shape)
    proto = submodel(model, [image], first.inputs[0], nodes)
    proto.ir_version = 10
    values = []
    for gray in (0, 100, 255):
        output = evaluate(proto, {name_of(image): np.full(settings.shape, gray, np.float32)})
        if output is None or not output.size:
            return None
        values.append(float(np.median(output)))  # channels may differ, and padding is zero
    low, middle, high = values
    scale = (high - low) / 255
    is_affine = np.isclose(middle, low + 100 * scale, rtol=1e-3, atol=1e-3 * abs(high - low))
    if not is_affine or scale == 0:
        return None
    # A negative scale turns dark text on a light ground into light text; then the mean is 255.
    mean = 0.0 - low / scale  # not -0.0
    fits = 0 < abs(scale) <= _LARGEST_SCALE or mean >= _SMALLEST_MEAN
    return (mean, scale) if fits else None


def _has_weights(node: ir.Node) -> bool:
    """Whether a node multiplies a computed value by constant weights."""
    return (
        node.op_type in _WEIGHTED
        and node.inputs[0] is not None
        and constant(node.inputs[0]) is None
        and any(v is not None and constant(v) is not None for v in node.inputs[1:])
    )
