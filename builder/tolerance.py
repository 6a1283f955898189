"""By how much an fp32 engine may differ from its model, which can round more than float32 does.

* A model that computes in 16 bits differs from its float32 graph by its own rounding, which is
  measured on this graph (``convert/rounding.py``, docs/decisions/0020).
* A model with fake quantization differs by its rounding to the levels of integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from ..common.input_size import InputSize
from ..convert.rounding import Rounding, rounded
from ..convert.sources.pixels import pixel_noise
from ..convert.verify import check_numbers
from ..engines.engine import Engine
from ..engines.runner import Batch
from ..errors import ConversionError
from ..spec import ModelSpec
from .convert import ConvertedModel
from .ties import Ties

_PARITY_INPUTS = 4
"""Random images per input size."""
_MAX_ROUNDING = 0.1
"""Largest power of the rounding of fake quantization, relative to the output: 10 dB."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Why a model may differ from an fp32 engine by more than ``accuracy.max_difference``."""

    is_quantized: bool = False
    """Whether the model itself rounds, because it was quantized or trained with FakeQuant."""
    float_type: str | None = None
    """The 16-bit type in which the model computes, if any."""
    roundings: Mapping[InputSize, Rounding] = field(default_factory=dict)
    """What rounding to this type changes in the converted float graphs, by input size."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The result of a comparison over all input sizes and images."""

    largest: float
    """The largest absolute difference."""
    allowed: float
    """The largest one that was allowed."""
    ties: Ties | None = None
    """By how much the graph differs because of ties; None if it does not."""


def tolerance_of(model: ConvertedModel, spec: ModelSpec) -> Tolerance:
    """Return the tolerance of a model; the rounding is measured on its converted graphs."""
    is_quantized, roundings = bool(model.own_ranges), dict[InputSize, Rounding]()
    if (name := model.float_types.coarsest) is None:
        return Tolerance(is_quantized=is_quantized)
    for size, graph in model.graphs.items():
        images = random_images(spec, size, np.random.default_rng(0))
        with _engine(graph, spec) as exact, _engine(rounded(graph, name), spec) as other:
            roundings[size] = Rounding.of([difference_of(exact, other, i)[0] for i in images])
    return Tolerance(is_quantized=is_quantized, float_type=name, roundings=roundings)


def _engine(graph: onnx.ModelProto, spec: ModelSpec) -> Engine:
    return Engine.from_graphs(lambda _: graph, spec=spec, label="fp32 graph")


def random_images(spec: ModelSpec, size: InputSize, rng: np.random.Generator) -> list[Batch]:
    """Return the images of a comparison at one input size, each (1, C, *size)."""
    return [pixel_noise(spec.input, 1, size, rng) for _ in range(_PARITY_INPUTS)]


def is_fake_quantization(difference: Batch, theirs: Batch) -> bool:
    """Whether a difference is small enough to be the rounding of fake quantization."""
    return bool(np.square(difference).mean() <= _MAX_ROUNDING * theirs.var())


def difference_of(graph: Engine, other: Engine, image: Batch) -> tuple[Batch, Batch]:
    """Return the absolute difference of two outputs, and the other engine's output.

    Raises:
        ConversionError: the outputs have different shapes.
    """
    size = InputSize(*image.shape[2:])  # (1, C, H, W)
    ours, theirs = graph.runner(size).run(image), other.runner(size).run(image)
    if ours.shape != theirs.shape:
        raise ConversionError(
            f"the {graph.label} returns {ours.shape}, but the model returns {theirs.shape}"
        )
    # Equal infinities, such as log(0) of a class that is masked, differ by 0 and not by NaN.
    with np.errstate(invalid="ignore"):
        return np.where(ours == theirs, np.float32(0), np.abs(ours - theirs)), theirs


def compare_rounding(
    graph: Engine, baseline: Engine, images: Sequence[Batch], tolerance: Tolerance
) -> Difference:
    """Compare an engine with a model that computes in 16 bits, on images of one size.

    Raises:
        ConversionError: rounding does not explain the difference, or the model returns NaN.
    """
    pairs = [difference_of(graph, baseline, image) for image in images]
    for _, theirs in pairs:
        check_numbers(theirs, baseline.label)
    found, limit = [difference for difference, _ in pairs], graph.spec.accuracy.max_difference
    measured = Rounding.of(found)
    if tolerance.is_quantized and all(is_fake_quantization(*pair) for pair in pairs):
        return Difference(largest=measured.peak, allowed=max(limit, measured.peak))
    rounding = tolerance.roundings[InputSize(*images[0].shape[2:])]
    if not rounding.explains(found, limit):
        raise ConversionError(
            f"the {graph.label} differs from the model by {measured.peak:.3g} (root mean square "
            f"{measured.rms:.3g}). With accuracy.max_difference {limit:g} and the rounding of a "
            f"{tolerance.float_type} model, at most {rounding.limit(limit):.3g} "
            f"({rounding.limit_rms(limit):.3g}) is allowed; please report this model"
        )
    return Difference(largest=measured.peak, allowed=rounding.limit(limit))
