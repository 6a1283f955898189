"""Compare the converted graphs with the baseline, and run the baseline on the samples.

The baseline is the model itself in the framework that it came from. Every engine of a build is
compared with it on the same samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from ..common.input_size import InputSize
from ..common.progress import Reporter
from ..convert.verify import check_numbers
from ..engines.engine import Engine
from ..engines.manifest import OcrMetric
from ..engines.runner import Batch, Runner
from ..engines.tensorflow.baseline import TensorFlowRunner
from ..errors import ConversionError, SpecError
from ..measure.accuracy import run_samples
from ..measure.result import Result
from ..ocr.dataset import Dataset
from ..spec import ModelSpec
from .convert import ConvertedModel
from .request import BuildRequest
from .ties import Ties, difference_without_ties
from .tolerance import (
    Difference,
    Tolerance,
    compare_rounding,
    difference_of,
    is_fake_quantization,
    random_images,
    tolerance_of,
)

_NUDGES = 16
"""Number of small changes of an input that test whether the model jumps there."""
_NUDGE = 1e-6
"""Size of such a change, relative to the largest value of the image (docs/decisions/0008)."""
_MAX_JUMPING = 1e-3
"""Largest share of output values that may jump (docs/decisions/0008)."""
_ROUNDING_POINTS = 1e-9
"""Tolerance for binary rounding: 0.95 - 0.945 exceeds 0.005 slightly, but 0.5 points pass."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The model in its own framework, and its result on the samples if there are any."""

    engine: Engine
    difference: Difference
    """The difference between its outputs and those of the converted float graphs."""
    tolerance: Tolerance
    """By how much an engine in fp32 may differ from it."""
    result: Result | None = None
    samples: Dataset | None = None

    def metric(self, engine: Engine, reporter: Reporter) -> OcrMetric | None:
        """Run an engine on the samples and compare it with the baseline; None without samples."""
        if self.samples is None or self.result is None:
            return None
        own = run_samples(engine, self.samples, reporter)
        labeled = self.samples.labeled
        return own.compare(self.result, labeled=labeled, run_by=engine.label)


def compare(
    request: BuildRequest, model: ConvertedModel, engine: Engine, reporter: Reporter
) -> Baseline:
    """Compare converted graphs with the baseline, then run the baseline on the samples.

    Without samples the calibration images take their place; without those there is no result.

    Raises:
        ConversionError: a converted graph differs from the baseline.
        SpecError: the baseline detects or reads nothing in the samples.
    """
    graph = Engine.from_graphs(model.graphs.__getitem__, spec=request.spec, label="fp32 graph")
    with graph, reporter.step("compare with the model"):
        tolerance = tolerance_of(model, request.spec)
        difference = check_parity(graph, engine, tolerance, graphs=model.graphs)
    if difference.ties is not None:
        reporter.note(
            f"{difference.ties.share:.1%} of the output for random pixels depends on ties: the "
            "model selects the larger of values that differ by rounding only. With the same "
            "selections as the model, the graph returns the same output. Build with "
            "--data, so that the OCR metric judges ties"
        )
    # Engines are judged by OCR metrics, so the baseline's must be measured on the same samples.
    samples = request.samples
    if samples is None and request.calibration is not None:
        samples = request.calibration.dataset
        reporter.note("no --data given: the metric is measured on the calibration images")
    result = None
    if samples is not None:
        result = run_samples(engine, samples, reporter)
        check_baseline(result, samples, request.spec)
    return Baseline(
        engine=engine,
        difference=difference,
        tolerance=tolerance,
        result=result,
        samples=samples,
    )


def check_parity(
    graph: Engine,
    baseline: Engine,
    tolerance: Tolerance | None = None,
    *,
    graphs: Mapping[InputSize, onnx.ModelProto] | None = None,
    ties: Ties | None = None,
    sizes: Sequence[InputSize] = (),
) -> Difference:
    """Return the largest absolute difference of outputs over all sizes and some random images.

    Positions where the model itself jumps are excluded (docs/decisions/0008).

    Args:
        graph: an engine in fp32.
        baseline: the model in its own framework.
        tolerance: whether the baseline itself rounds. It then differs from its float graph by this
            noise, which must be small.
        graphs: the graph of each size, to compare while it decides as the model does (``ties``).
        ties: by how much these graphs differ because of ties, for an engine built from them.
        sizes: the input sizes to compare; (): all of ``graph``.

    Raises:
        ConversionError: the difference is larger than allowed, or is NaN.
    """
    # The same images in each build, so that a model that passes once passes always.
    spec, rng, found = graph.spec, np.random.default_rng(0), []
    tolerance = tolerance or Tolerance()
    for size in sizes or graph.sizes:
        images = random_images(spec, size, rng)
        if size in tolerance.roundings:
            found.append(compare_rounding(graph, baseline, images, tolerance))
            continue
        proto = graphs[size] if graphs is not None else None
        for image in images:
            difference, theirs = difference_of(graph, baseline, image)
            check_numbers(theirs, baseline.label)
            # The model rounds and its float graph does not, so this much noise is expected.
            if tolerance.is_quantized and is_fake_quantization(difference, theirs):
                largest = float(difference.max())
                found.append(Difference(largest=largest, allowed=largest))
                continue
            reference = baseline.runner(size)
            found.append(_checked(graph, reference, image, (difference, theirs), proto, ties))
    return _worst(found, spec.accuracy.max_difference)


def _worst(found: Sequence[Difference], limit: float) -> Difference:
    """Return the largest of several differences."""
    ties = [each.ties for each in found if each.ties is not None]
    return Difference(
        largest=max(each.largest for each in found),
        allowed=max(limit, *(each.allowed for each in found)),
        ties=max(ties, key=lambda each: each.share) if ties else None,
    )


def _checked(
    graph: Engine,
    reference: Runner,
    image: Batch,
    pair: tuple[Batch, Batch],
    proto: onnx.ModelProto | None,
    ties: Ties | None,
) -> Difference:
    """Return the difference of one image, except where the model jumps or breaks ties.

    ``pair``: the absolute difference, and the model's output.

    Raises:
        ConversionError: it is larger than allowed.
    """
    limit, (difference, theirs) = graph.spec.accuracy.max_difference, pair
    largest = _continuous_difference(reference, image, theirs, difference, limit)
    if largest <= limit:
        return Difference(largest=largest, allowed=limit)
    peak = float(difference.max())
    if ties is not None and ties.explain(difference, limit):
        return Difference(largest=peak, allowed=max(limit, 2 * ties.largest))
    forced = _forced_difference(proto, reference, image, limit) if proto is not None else None
    if forced is not None and forced <= limit:
        own = Ties(share=float((difference > limit).mean()), largest=peak)
        return Difference(largest=forced, allowed=limit, ties=own)
    largest = largest if forced is None else forced
    raise ConversionError(
        f"the {graph.label} differs from the model by {largest:.3g}, more than "
        f"accuracy.max_difference {limit:g}; please report this model"
    )


def _continuous_difference(
    reference: Runner, image: Batch, theirs: Batch, difference: Batch, limit: float
) -> float:
    """Return the largest value of ``difference``, except where the model jumps."""
    largest = float(difference.max())
    if largest > limit and _is_jump(reference, image, theirs, difference, limit):
        # The positions that jump are excluded; all others must keep the limit.
        largest = float(np.quantile(difference, 1 - _MAX_JUMPING))
    return largest


def _forced_difference(
    graph: onnx.ModelProto, reference: Runner, image: Batch, limit: float
) -> float | None:
    """Return the difference with the model's own decisions; None if it has none."""
    if not isinstance(reference, TensorFlowRunner):
        return None
    found = reference.decisions(image)
    if found is None:
        return None
    return difference_without_ties(graph, image, found.inputs, found.output, limit)


def _is_jump(
    reference: Runner, image: Batch, theirs: Batch, difference: Batch, limit: float
) -> bool:
    """Whether a few large differences come from the model itself, which jumps at this image.

    Where two values of a pooling window are equal except for rounding, the argmax may select
    either one, and max-unpooling writes the value to another position. The test: does the model's
    own output change at least half as much when its input changes by a millionth?
    """
    # A jump affects few positions, so a graph that is wrong everywhere is not excused by one.
    if (difference > limit).mean() > _MAX_JUMPING:
        return False
    rng, size = np.random.default_rng(0), _NUDGE * max(1.0, float(np.abs(image).max()))
    for _ in range(_NUDGES):
        nudge = rng.uniform(-size, size, image.shape).astype(np.float32)
        if difference.max() <= 2 * np.abs(reference.run(image + nudge) - theirs).max():
            return True
    return False


def check_baseline(result: Result, dataset: Dataset, spec: ModelSpec) -> None:
    """Refuse a baseline that detects or reads nothing: compared with it, any engine would pass.

    A budget of 100 points allows any engine to pass, so nothing is refused then.

    Raises:
        SpecError: contains the value measured and the likely causes.
    """
    value = result.useless_value(labeled=dataset.labeled)
    if value is not None and spec.accuracy.max_loss < 100:
        raise SpecError(
            f"{spec.name}: the model itself gives {value} on {dataset.folder}, so no engine can be "
            "judged by it; compare input.mean, input.scale, input.color and the output settings of "
            "the spec with the model's own preprocessing, and the images with those it was "
            "trained on (accuracy.max_loss 100 builds without a verdict)"
        )


def is_within_budget(loss: float, spec: ModelSpec) -> bool:
    """Whether a loss in points of the OCR metric is at most the spec's ``accuracy.max_loss``."""
    return loss <= spec.accuracy.max_loss + _ROUNDING_POINTS
