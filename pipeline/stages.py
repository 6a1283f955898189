"""The stages of the pipeline: find boxes in an image, classify line crops, read them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from ..common.input_size import InputSize, by_area
from ..engines.engine import Engine
from ..errors import SpecError
from ..ocr.classifier import Direction, classifier_input, directions_from_output
from ..ocr.ctc import Reading
from ..ocr.detector import boxes_from_output, detector_input, stride_of
from ..ocr.detector_size import size_for
from ..ocr.preprocess import Fit
from ..ocr.recognizer import recognizer_input
from ..ocr.types import Image, Output, ScoredBoxes
from ..spec import ClassifierSpec, DetectorSpec, RecognizerSpec
from .clock import Clock, untimed
from .line_parts import PartResult, Parts, results_from_output

Recognize: TypeAlias = Callable[[Engine, Sequence[Image], Clock], list[Reading]]
"""Reads RGB text lines (h, w, 3) with a recognizer, as :func:`recognize` does."""

_Spec = TypeVar("_Spec", DetectorSpec, RecognizerSpec, ClassifierSpec)
_ROLES: Mapping[type, str] = {
    DetectorSpec: "detector",
    RecognizerSpec: "recognizer",
    ClassifierSpec: "classifier",
}


def spec_of(engine: Engine, kind: type[_Spec]) -> _Spec:
    """Return the spec of an engine that must have the role of ``kind``.

    Raises:
        SpecError: it has another role.
    """
    if not isinstance(engine.spec, kind):
        raise SpecError(f"{engine.label} is a {engine.spec.role}, expected a {_ROLES[kind]}")
    return engine.spec


def detect(engine: Engine, image: Image, clock: Clock = untimed) -> ScoredBoxes:
    """Find text in one RGB image (H, W, 3): boxes (K, P, 2) in its pixels, scores (K,).

    An image larger than the input is scaled down to it; ``scales.detect_at_scales`` does more.
    """
    return detect_whole(engine, image, clock).boxes


@dataclass(frozen=True, kw_only=True)
class WholeImage:
    """The boxes in an image that was scaled down to the detector's input."""

    boxes: ScoredBoxes
    fit: Fit
    stride: int
    """Pixels of the input per pixel of the map, at least 1."""


def detect_whole(engine: Engine, image: Image, clock: Clock = untimed) -> WholeImage:
    """Find text as :func:`detect` does; also return how the image was scaled."""
    spec = spec_of(engine, DetectorSpec)
    with clock("prepare"):
        size = size_for((image.shape[0], image.shape[1]), spec)
        feed, fit = detector_input(image, spec.input, size)
    with clock("detect"):
        output = engine.runner(size).run(feed)
    with clock("boxes"):
        boxes = boxes_from_output(output, spec, fit, image.shape[:2])
    stride = stride_of(size.width, output.shape[-1])
    return WholeImage(boxes=boxes, fit=fit, stride=stride)


def classify(engine: Engine, lines: Sequence[Image], clock: Clock = untimed) -> list[Direction]:
    """Return the direction of the text in each RGB line crop (h, w, 3)."""
    spec, runner = spec_of(engine, ClassifierSpec), engine.runner()
    directions: list[Direction] = []
    for start in range(0, len(lines), runner.max_batch):
        with clock("direction"):
            feed = classifier_input(lines[start : start + runner.max_batch], spec)
            directions += directions_from_output(runner.run(feed), spec)
    return directions


def read_batch(
    engine: Engine,
    parts: Sequence[Image],
    is_whole: Sequence[bool],
    size: InputSize,
    clock: Clock = untimed,
) -> list[PartResult]:
    """Read parts of lines (h, w, 3) at one size, at most ``runner.max_batch``.

    They are one batch, or several if the runner is not faster in large batches.
    """
    spec, runner = spec_of(engine, RecognizerSpec), engine.runner(size)
    results: list[PartResult] = []
    while len(results) < len(parts):
        own = slice(len(results), len(results) + runner.good_batch)
        with clock("fit"):
            feed = recognizer_input(parts[own], spec.input, size.width)

        def decode(output: Output, whole: Sequence[bool] = is_whole[own]) -> list[PartResult]:
            with clock("text"):
                return results_from_output(output, whole, spec)

        with clock("recognize"):
            results += runner.run_and(feed, decode)
    return results


def batches_by_size(
    sizes: Sequence[InputSize], engine: Engine
) -> Iterator[tuple[InputSize, list[int]]]:
    """Yield batches for a recognizer: an input size, and the indices of parts that it reads.

    ``sizes``: the input size of each part of the lines. Narrow batches come first.
    """
    buckets: dict[InputSize, list[int]] = defaultdict(list)
    for index, size in enumerate(sizes):
        buckets[size].append(index)
    for size in sorted(buckets, key=by_area):
        members, max_batch = buckets[size], engine.runner(size).max_batch
        for start in range(0, len(members), max_batch):
            yield size, members[start : start + max_batch]


def recognize(engine: Engine, lines: Sequence[Image], clock: Clock = untimed) -> list[Reading]:
    """Read RGB text lines (h, w, 3) of any size, sorted into width buckets and batched.

    A line that is too wide for the widest input is read in windows (``ocr.line_windows``), which
    share batches with other lines.
    """
    spec = spec_of(engine, RecognizerSpec)
    parts = Parts.of_sizes([line.shape[:2] for line in lines], spec)
    with clock("fit"):
        images = parts.cut(lines, spec)
    results: dict[int, PartResult] = {}
    for size, batch in batches_by_size(parts.sizes, engine):
        is_whole = [parts.is_whole[i] for i in batch]
        read = read_batch(engine, [images[i] for i in batch], is_whole, size, clock)
        results.update(zip(batch, read, strict=True))
    # Batches are ordered by size; the results are in the order of the lines.
    with clock("text"):
        return parts.readings([results[index] for index in range(len(parts))], spec)
