"""Other input sizes for the variants of a model: smaller inputs of a detector, widths of lines."""

from __future__ import annotations

from ...calibration.images import CalibrationSet
from ...common.input_size import InputSize
from ...common.progress import Reporter
from ...convert.free_sizes import joined_sizes
from ...convert.input_multiples import free_sizes, input_multiples, nearest_multiple
from ...convert.sources import open_source
from ...engines.targets import backend
from ...errors import OcrTrtError
from ...measure.latency import EQUAL
from ...spec import DetectorSpec, RecognizerSpec
from ..convert import convert_sizes
from ..learned_widths import WidthSettings, choose_buckets
from ..proposed_sizes import propose_sizes
from .variants import Inputs

_SHRINKS = (0.9, 0.8)
"""Scales of the input sizes that are tried. An image costs as much as its input has pixels, so they
save 19 and 36 % of the time. Smaller ones lose most text of normal size: at 0.8, the reference
detector loses 8 points of hmean."""
_WIDTH_STEP = 32
"""Columns between the widths of a plan with a free width."""
_STEP = 32
"""Sides are multiples of this and of what the model requires."""


def detector_inputs(spec: DetectorSpec, images: CalibrationSet, reporter: Reporter) -> list[Inputs]:
    """Return smaller input sizes of a detector, and those that suit the images.

    None if the model accepts one size only.
    """
    source = open_source(spec.source)
    if not all(free_sizes(source, spec.input)):
        reporter.note(f"{spec.name} accepts an input of {spec.input.size} only: no other is tried")
        return []
    multiples = input_multiples(source, spec.input, spec.output.name, spec.role) or (1, 1)
    found = [_inputs(shrunk_spec(spec, share, multiples), f"x {share:g}") for share in _SHRINKS]
    try:
        proposed = propose_sizes(spec, images, reporter).spec
        found.append(_inputs(proposed, "for these images"))
    except OcrTrtError as error:  # the other sizes can still be tried
        reporter.note(f"no input sizes are proposed for the images: {error}")
    # By their sizes, so that equal ones are built once.
    distinct = {each.spec.input_sizes: each for each in reversed(found)}
    distinct.pop(spec.input_sizes, None)
    return list(distinct.values())[::-1]


def _inputs(spec: DetectorSpec, of_several: str) -> Inputs:
    """Return a spec with a label: its input size, or ``of_several`` if it has several."""
    sizes = spec.input_sizes
    return Inputs(
        label=f"input {sizes[0]}" if len(sizes) == 1 else f"input sizes {of_several}", spec=spec
    )


def shrunk_spec(spec: DetectorSpec, share: float, multiples: tuple[int, int]) -> DetectorSpec:
    """Return a spec whose input sizes are scaled by ``share``, and fit the model's multiples."""

    def scaled(size: InputSize) -> InputSize:
        sides = zip(size, multiples, strict=True)
        steps = [(side, of_model * max(1, round(_STEP / of_model))) for side, of_model in sides]
        return InputSize(*(nearest_multiple(round(share * side), step) for side, step in steps))

    first = scaled(spec.input.size)
    shape = spec.input.shape_at(spec.input.shape[0], first)
    others = tuple(size for size in map(scaled, spec.sizes) if size != first)
    return spec.model_copy(
        update={
            "input": spec.input.model_copy(update={"shape": shape}),
            "sizes": tuple(dict.fromkeys(others)),
        }
    )


def recognizer_inputs(
    spec: RecognizerSpec, lines: CalibrationSet, settings: WidthSettings, reporter: Reporter
) -> list[Inputs]:
    """Return the input widths that are fastest for the lines, finer ones if they save time, and one
    plan for all widths.

    None if the model accepts one width only.
    """
    if not free_sizes(open_source(spec.source), spec.input)[1]:
        reporter.note(f"{spec.name} accepts a width of {spec.input.width} only: no other is tried")
        return []
    if settings.step > spec.input.width // 2:
        reporter.note(
            f"{spec.name}: its width of {spec.input.width} is less than two steps of "
            f"{settings.step}: no other width is tried"
        )
        return []
    try:
        found = choose_buckets(spec, lines, backend("openvino"), settings, reporter)
    except OcrTrtError as error:  # the widths of the spec remain
        reporter.note(f"no other input widths are tried: {error}")
        return []
    faster = [
        choice.widths
        for choice in (found.best, found.choices[-1])
        if choice.milliseconds < (1 - EQUAL) * found.current.milliseconds
    ]
    result = [
        Inputs(
            label=f"widths {' '.join(map(str, widths))}",
            spec=spec.with_widths(widths).model_copy(update={"width_step": None}),
        )
        for widths in dict.fromkeys(faster)
    ]
    return result if spec.width_step is not None else [*result, *_any_width(spec, reporter)]


def _any_width(spec: RecognizerSpec, reporter: Reporter) -> list[Inputs]:
    """Return one plan for all widths, in steps; nothing if the graph depends on the width."""
    widest = spec.input.width
    if widest < 2 * _WIDTH_STEP:
        return []
    free = spec.with_widths((_WIDTH_STEP, widest)).model_copy(update={"width_step": _WIDTH_STEP})
    try:
        graphs = convert_sizes(open_source(spec.source), free, reporter).graphs
    except OcrTrtError:  # such as a model that does not accept a line as narrow as one step
        return []
    if joined_sizes(graphs) is None:
        return []
    return [Inputs(label=f"any width in steps of {_WIDTH_STEP}", spec=free)]
