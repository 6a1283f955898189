"""Propose the input widths of a recognizer from the widths of real lines, without timing it.

``optimize`` times the model on this machine and chooses better buckets; ``init`` has no engine yet.
Here a line costs as much as a convolutional network computes: a fixed part and its input's columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..calibration.images import CalibrationSet
from ..common.input_size import InputSize
from ..common.progress import Reporter
from ..convert.pipeline import convert
from ..convert.sources import Source, open_source
from ..errors import OcrTrtError
from ..ocr.line_windows import windows_of_size
from ..ocr.width_buckets import best_buckets, mean_cost
from ..spec import RecognizerSpec
from .learned_widths import MIN_SAVING, line_sizes

_WHOLE = 0.99
"""Share of the lines that the widest input should hold; wider ones are read in windows."""
_WIDEST = 3200
"""Columns of the widest input that is proposed: 100 times the usual height of 32."""
_STEP = 32
"""Proposed widths are multiples of this: networks reduce the width by up to 32."""
_MAX_WIDTHS = 6
_FIXED_COST = 32
"""The part of a line's cost that does not depend on its width, in columns."""


@dataclass(frozen=True, kw_only=True)
class ProposedWidths:
    """A spec with other input widths, and the reason in one sentence."""

    spec: RecognizerSpec
    reason: str


def propose_widths(
    spec: RecognizerSpec, lines: CalibrationSet, reporter: Reporter
) -> ProposedWidths:
    """Return the spec with the widest input and the buckets that suit lines.

    If the model accepts no other width, its width stays, and only narrower buckets that the model
    accepts are proposed.

    Raises:
        InputFileError: an image cannot be read, or the model cannot be opened.
    """
    sizes = line_sizes(spec, lines, reporter)
    widths = np.array([windows_of_size(size, _at(spec, _WIDEST)).total for size in sizes])
    # A width that occurs: between two lines, it would be too narrow for the wider one.
    needed = float(np.quantile(widths, _WHOLE, method="higher"))
    widest = min(_WIDEST, max(_STEP, _STEP * int(-(-needed // _STEP))))
    source = open_source(spec.source)
    notes = []
    with reporter.step("try the model at the proposed widths"):
        if widest != spec.input.width and (problem := _problem(source, _at(spec, widest))):
            notes.append(f"the model accepts no input of {widest} columns ({problem})")
            widest = spec.input.width
        proposed = _at(spec, widest)
        fitted = np.minimum(widths, widest)
        buckets = _buckets(fitted.tolist(), widest)
        # Buckets are narrower inputs of the same model, which a fixed width excludes.
        if buckets and _problem(source, _at(spec, buckets[0])):
            buckets = ()
    proposed = proposed.model_copy(update={"buckets": buckets})
    cut = sum(len(windows_of_size(size, proposed)) > 1 for size in sizes)
    reason = (
        f"{len(sizes)} lines are {int(np.median(widths))} columns wide at the median and "
        f"{int(widths.max())} at most, at the input's height of {spec.input.height}; "
        f"input widths: {', '.join(map(str, proposed.widths))}"
    )
    if cut:
        lines_are = "line is" if cut == 1 else "lines are"
        notes.append(f"{cut} wider {lines_are} read in windows")
    return ProposedWidths(spec=proposed, reason="; ".join([reason, *notes]))


def _at(spec: RecognizerSpec, width: int) -> RecognizerSpec:
    """Return a spec with another widest input and no buckets."""
    shape = spec.input.shape_at(spec.input.shape[0], InputSize(spec.input.height, width))
    settings = spec.input.model_copy(update={"shape": shape})
    return spec.model_copy(update={"input": settings, "buckets": ()})


def _problem(source: Source, spec: RecognizerSpec) -> str:
    """Return why a model cannot be converted at the width of a spec; "" if it can."""
    try:
        convert(source, spec)
    except OcrTrtError as error:
        return str(error).split("; ")[0].split(". ")[0]
    return ""


def _buckets(widths: list[int], widest: int) -> tuple[int, ...]:
    """Return the narrower inputs that reduce the cost of lines, ascending."""

    def cost(width: int) -> float:
        return float(_FIXED_COST + width)

    candidates = list(range(_STEP, widest + 1, _STEP))
    if widest not in candidates:
        candidates.append(widest)
    choices = best_buckets(widths, candidates, _MAX_WIDTHS, cost)
    prices = [mean_cost(widths, choice, cost) for choice in choices]
    best = choices[0]
    # One more width must save enough, because it is another engine to build and to load.
    for choice, before, price in zip(choices[1:], prices, prices[1:], strict=False):
        if before - price < MIN_SAVING * prices[0]:
            break
        best = choice
    return best[:-1]
