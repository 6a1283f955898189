"""Propose the input sizes of a detector from the sizes of real images, without timing it.

An image costs as much as its input has pixels. The proposed sizes search every image at its own
scale, or shrink it to the largest allowed side, and leave little of the inputs empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

from ..calibration.images import CalibrationSet
from ..common.input_size import InputSize, by_area, listed
from ..common.progress import Reporter
from ..convert.input_multiples import free_sizes, input_multiples
from ..convert.pipeline import convert
from ..convert.sources import Source, open_source
from ..errors import OcrTrtError, SpecError
from ..ocr.detector_size import size_for, wanted_scale
from ..ocr.roles import role_of
from ..spec import DetectorSpec

LONGEST = 1600
"""Longest side of an input that is proposed; larger images are shrunk, or searched in tiles."""
_STEP = 32
"""Proposed sides are multiples of this and of what the model requires."""
_MAX_SIZES = 5
_MIN_SAVING = 0.05
"""An additional size must save this share of the pixels of one size for all images."""
_MOST_CANDIDATES = 24


@dataclass(frozen=True, kw_only=True)
class ProposedSizes:
    """A spec with other input sizes, and the reason in one sentence."""

    spec: DetectorSpec
    reason: str


def propose_sizes(spec: DetectorSpec, images: CalibrationSet, reporter: Reporter) -> ProposedSizes:
    """Return the spec with the input sizes that suit images.

    ``input.shape`` becomes the size that most images use.

    Raises:
        InputFileError: an image cannot be read, or the model cannot be opened.
        SpecError: the model accepts one size only.
    """
    found, labels = list[tuple[int, int]](), images.labels
    with reporter.step("measure the sizes of images", len(labels)) as advance:
        for done, image in enumerate(role_of(spec).images_of(labels), 1):
            found.append((image.shape[0], image.shape[1]))
            advance(done)
    source = open_source(spec.source)
    if not all(free_sizes(source, spec.input)):
        raise SpecError(
            f"{spec.source.path}: the model accepts an input of {spec.input.size} only (height x "
            "width), so --images cannot propose others; export it with free height and width"
        )
    multiples = input_multiples(source, spec.input, spec.output.name, spec.role) or (1, 1)
    needed = [_needed(image, spec, multiples) for image in found]
    sizes, notes = list(_chosen(needed)), list[str]()
    with reporter.step("try the model at the proposed sizes"):
        for size in list(sizes):
            if problem := _problem(source, spec, size):
                notes.append(f"the model accepts no input of {size} ({problem})")
                sizes.remove(size)
    proposed = _with_sizes(spec, found, sizes or [spec.input.size])
    reason = (
        f"{len(found)} images of {len(set(found))} sizes, from {InputSize(*min(found, key=max))} "
        f"to {InputSize(*max(found, key=max))}; input sizes (height x width): "
        f"{listed(proposed.input_sizes)}"
    )
    return ProposedSizes(spec=proposed, reason="; ".join([reason, *notes]))


def _needed(image: tuple[int, int], spec: DetectorSpec, multiples: tuple[int, int]) -> InputSize:
    """Return the smallest input that holds an image at the scale at which it should be searched."""
    scale = min(wanted_scale(image, spec), LONGEST / max(image))

    def side(length: int, multiple: int) -> int:
        step = multiple * max(1, round(_STEP / multiple))
        return step * max(1, -(-round(length * scale) // step))

    return InputSize(side(image[0], multiples[0]), side(image[1], multiples[1]))


def _chosen(needed: Sequence[InputSize]) -> tuple[InputSize, ...]:
    """Return a few sizes that hold all others, greedily: each next one saves the most pixels."""
    tallest, widest = max(each.height for each in needed), max(each.width for each in needed)
    candidates = set(_candidates(needed))
    sizes = [InputSize(tallest, widest)]
    whole = _cost(needed, sizes)
    while len(sizes) < _MAX_SIZES:
        best = min(sorted(candidates, key=by_area), key=lambda size: _cost(needed, [*sizes, size]))
        if _cost(needed, sizes) - _cost(needed, [*sizes, best]) < _MIN_SAVING * whole:
            break
        sizes.append(best)
    # The first one may be in use no more.
    return tuple(sorted({_holding(each, sizes) for each in needed}, key=by_area))


def _candidates(needed: Sequence[InputSize]) -> list[InputSize]:
    """Return the sizes themselves and the smallest sizes that hold two of them."""
    distinct = sorted(set(needed), key=by_area)
    step = -(-len(distinct) // _MOST_CANDIDATES)
    some = distinct[::-1][::step]
    pairs = combinations_with_replacement(some, 2)
    return [InputSize(max(a.height, b.height), max(a.width, b.width)) for a, b in pairs]


def _holding(image: InputSize, sizes: Sequence[InputSize]) -> InputSize:
    fitting = [s for s in sizes if s.height >= image.height and s.width >= image.width]
    return min(fitting, key=by_area)


def _cost(needed: Sequence[InputSize], sizes: Sequence[InputSize]) -> int:
    return sum(_holding(each, sizes).area for each in needed)


def _with_sizes(
    spec: DetectorSpec, images: Sequence[tuple[int, int]], sizes: Sequence[InputSize]
) -> DetectorSpec:
    """Return a spec with these sizes; ``input.shape`` is the one that most images use."""
    every = spec.model_copy(update={"sizes": tuple(sizes), "input": _at(spec, sizes[0])})
    used = [size_for(image, every) for image in images]
    most = max(sizes, key=lambda size: (used.count(size), size.area))
    others = tuple(size for size in sorted(sizes, key=by_area) if size != most)
    return spec.model_copy(update={"sizes": others, "input": _at(spec, most)})


def _at(spec: DetectorSpec, size: InputSize) -> object:
    shape = spec.input.shape_at(spec.input.shape[0], size)
    return spec.input.model_copy(update={"shape": shape})


def _problem(source: Source, spec: DetectorSpec, size: InputSize) -> str:
    """Return why a model cannot be converted at a size; "" if it can."""
    try:
        convert(source, spec, size)
    except OcrTrtError as error:
        return str(error).split("; ")[0].split(". ")[0]
    return ""
