"""The two stages of the pipeline: find boxes in an image, read images of lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from ..engines.engine import Engine
from ..errors import SpecError
from ..ocr.ctc import Reading
from ..ocr.detector import boxes_from_output, detector_input, stride_of
from ..ocr.recognizer import recognizer_input
from ..ocr.types import Image, ScoredQuads
from ..spec import DetectorSpec, RecognizerSpec
from .clock import Clock, untimed
from .line_parts import PartResult, Parts, results_from_output

Recognize: TypeAlias = Callable[[Engine, Sequence[Image], Clock], list[Reading]]
"""Reads RGB text lines (h, w, 3) with a recognizer, as :func:`recognize` does."""

_Spec = TypeVar("_Spec", DetectorSpec, RecognizerSpec)


def spec_of(engine: Engine, kind: type[_Spec]) -> _Spec:
    """Return the spec of an engine that must have the role of ``kind``.

    Raises:
        SpecError: it has the other role.
    """
    if not isinstance(engine.spec, kind):
        needed = "detector" if kind is DetectorSpec else "recognizer"
        raise SpecError(f"{engine.label} is a {engine.spec.role}, expected a {needed}")
    return engine.spec


def detect(engine: Engine, image: Image, clock: Clock = untimed) -> ScoredQuads:
    """Find text in one RGB image (H, W, 3): quads (K, 4, 2) in its pixels, scores (K,).

    An image larger than the input is scaled down to it; ``scales.detect_at_scales`` does more.
    """
    return detect_whole(engine, image, clock).boxes


@dataclass(frozen=True, kw_only=True)
class WholeImage:
    """The boxes in an image that was scaled down to the detector's input."""

    boxes: ScoredQuads
    scales: tuple[float, float]
    """(x, y) factors from the image's pixels to the input's."""
    stride: int
    """Pixels of the input per pixel of the map, at least 1."""


def detect_whole(engine: Engine, image: Image, clock: Clock = untimed) -> WholeImage:
    """Find text as :func:`detect` does; also return how the image was scaled."""
    spec = spec_of(engine, DetectorSpec)
    with clock("prepare"):
        feed, scales = detector_input(image, spec.input)
    with clock("detect"):
        output = engine.runner().run(feed)
    with clock("boxes"):
        boxes = boxes_from_output(output, spec, scales, image.shape[:2])
    stride = stride_of(spec.input.width, output.shape[-1])
    return WholeImage(boxes=boxes, scales=scales, stride=stride)


def read_batch(
    engine: Engine,
    parts: Sequence[Image],
    is_whole: Sequence[bool],
    width: int,
    clock: Clock = untimed,
) -> list[PartResult]:
    """Read parts of lines (h, w, 3) as one batch, ``runner.max_batch`` at most, at one width."""
    spec = spec_of(engine, RecognizerSpec)
    with clock("fit"):
        feed = recognizer_input(parts, spec.input, width)
    with clock("recognize"):
        output = engine.runner(width).run(feed)
    with clock("text"):
        return results_from_output(output, is_whole, spec)


def batches_by_width(widths: Sequence[int], engine: Engine) -> Iterator[tuple[int, list[int]]]:
    """Yield batches for a recognizer: an input width, and the indices of parts that it reads.

    ``widths``: the input width of each part of the lines. Narrow batches come first.
    """
    buckets: dict[int, list[int]] = defaultdict(list)
    for index, width in enumerate(widths):
        buckets[width].append(index)
    for width, members in sorted(buckets.items()):
        max_batch = engine.runner(width).max_batch
        for start in range(0, len(members), max_batch):
            yield width, members[start : start + max_batch]


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
    for width, batch in batches_by_width(parts.widths, engine):
        is_whole = [parts.is_whole[i] for i in batch]
        read = read_batch(engine, [images[i] for i in batch], is_whole, width, clock)
        results.update(zip(batch, read, strict=True))
    # Batches are ordered by width; the results are in the order of the lines.
    with clock("text"):
        return parts.readings([results[index] for index in range(len(parts))], spec)
