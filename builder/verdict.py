"""What a build must prove: the graph equals the model, the metric holds, and how fast it is."""

from __future__ import annotations

import numpy as np

from ..convert.sources.pixels import pixel_noise
from ..engines.base import Batch, Runner
from ..engines.engine import Engine
from ..engines.manifest import Latency, OcrMetric
from ..errors import BudgetError, ConversionError, SpecError
from ..measure.latency import Contender, LatencySettings, measure
from ..measure.result import Result
from ..ocr.dataset import Dataset
from ..spec import DetectorSpec, RecognizerSpec
from .candidate import ROUNDING

_PARITY_INPUTS = 4
_NUDGES = 16
_MOST_ROUNDING = 0.1
"""Noise against signal of a model's own rounding: 10 dB."""
_MOST_JUMPING = 1e-3
"""Share of an output that may jump at once."""


def _is_jump(
    reference: Runner, image: Batch, theirs: Batch, difference: Batch, limit: float
) -> bool:
    """Whether a few large differences come from the model itself, which jumps at this image.

    Where two values of a pooling window are equal but for rounding, their argmax may fall either
    way, and max-unpooling puts the value elsewhere. The model is asked: does it change as much when
    its input changes by a millionth?
    """
    if (difference > limit).mean() > _MOST_JUMPING:
        return False
    rng, size = np.random.default_rng(0), 1e-6 * max(1.0, float(np.abs(image).max()))
    for _ in range(_NUDGES):
        nudge = rng.uniform(-size, size, image.shape).astype(np.float32)
        if difference.max() <= 2 * np.abs(reference.run(image + nudge) - theirs).max():
            return True
    return False


def check_parity(graph: Engine, baseline: Engine, *, rounds: bool = False) -> float:
    """Return the largest absolute difference of outputs, over all widths and some random inputs.

    Places at which the model itself jumps are left out; docs/decisions/0008 has an example. A model
    that ``rounds``, since it was trained with fake quantization, differs from its float graph by
    that, which must be little against the signal.

    Raises:
        ConversionError: it is above the spec's ``max_difference``, or something is NaN.
    """
    spec, rng, worst = graph.spec, np.random.default_rng(0), 0.0
    limit = spec.accuracy.max_difference
    for width in graph.widths:
        runner, reference = graph.runner(width), baseline.runner(width)
        for _ in range(_PARITY_INPUTS):
            image = pixel_noise(spec.input, 1, width, rng)
            ours, theirs = runner.run(image), reference.run(image)
            if ours.shape != theirs.shape:
                raise ConversionError(
                    f"the {graph.label} gives {ours.shape} where the model gives {theirs.shape}"
                )
            difference = np.abs(ours - theirs)
            largest = float(difference.max())
            if rounds and np.square(difference).mean() <= _MOST_ROUNDING * theirs.var():
                worst = max(worst, largest)
                continue
            if largest > limit and _is_jump(reference, image, theirs, difference, limit):
                largest = float(np.quantile(difference, 1 - _MOST_JUMPING))
            if not largest <= limit:  # NaN too
                raise ConversionError(
                    f"the {graph.label} differs from the model by {largest:.3g}, more than "
                    f"accuracy.max_difference {limit:g}; please report this model"
                )
            worst = max(worst, largest)
    return worst


def check_baseline(result: Result, dataset: Dataset, spec: DetectorSpec | RecognizerSpec) -> None:
    """Refuse to judge engines by a model that finds nothing itself: any engine would pass.

    A budget of 100 points says that any engine may pass, so then nothing is refused.

    Raises:
        SpecError: says what was measured, and what may be wrong.
    """
    value = result.useless_value(labeled=dataset.labeled)
    if value is not None and spec.accuracy.max_loss < 100:
        raise SpecError(
            f"{spec.name}: the model itself gives {value} on {dataset.folder}, so no engine can be "
            "judged by it; compare input.mean, input.scale, input.color and the output settings of "
            "the spec with the model's own preprocessing, and the images with those it was "
            "trained on (accuracy.max_loss 100 builds without a verdict)"
        )


def check_budget(found: OcrMetric, spec: DetectorSpec | RecognizerSpec, label: str) -> None:
    """Refuse an engine that loses too much.

    Raises:
        BudgetError: says how much was lost, and what to try.
    """
    budget = spec.accuracy.max_loss
    if not found.loss <= budget + ROUNDING:
        raise BudgetError(
            f"{label}: {found.name} {100 * found.engine:.2f} against {100 * found.baseline:.2f} "
            f"of the baseline loses {found.loss:.2f} points, over accuracy.max_loss {budget:g}; "
            "nothing was written. Try another --precision, another --method or more "
            "--calibration images"
        )


def compare_latency(engine: Engine, baseline: Engine, settings: LatencySettings) -> Latency:
    """Time engine and baseline in turns: batch 1, widest input."""
    runners = [engine.runner(), baseline.runner()]
    shape = (1, *runners[0].shape)
    own, other = measure([Contender(runner=r, shape=shape) for r in runners], settings)
    return Latency(engine=own.p50, baseline=other.p50)
