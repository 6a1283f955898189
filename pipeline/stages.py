"""The two halves of the pipeline: find boxes in an image, read line images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..engines.engine import Engine
from ..errors import SpecError
from ..ocr.ctc import Reading
from ..ocr.detector import boxes_from_output, detector_input
from ..ocr.recognizer import bucket_of, recognizer_input, texts_from_output
from ..ocr.types import Image, Quads
from ..spec import DetectorSpec, RecognizerSpec
from .clock import Clock, untimed


def detector_spec(engine: Engine) -> DetectorSpec:
    """Return the engine's spec.

    Raises:
        SpecError: it is no detector.
    """
    if not isinstance(engine.spec, DetectorSpec):
        raise SpecError(f"{engine.label} is a {engine.spec.role}, a detector is needed")
    return engine.spec


def recognizer_spec(engine: Engine) -> RecognizerSpec:
    """Return the engine's spec.

    Raises:
        SpecError: it is no recognizer.
    """
    if not isinstance(engine.spec, RecognizerSpec):
        raise SpecError(f"{engine.label} is a {engine.spec.role}, a recognizer is needed")
    return engine.spec


def detect(
    engine: Engine, image: Image, clock: Clock = untimed
) -> tuple[Quads, npt.NDArray[np.float32]]:
    """Find text in one RGB image (H, W, 3): quads (K, 4, 2) in its pixels, scores (K,).

    An image larger than the input is scaled down to it; ``scales.detect_at_scales`` does more.
    """
    spec = detector_spec(engine)
    with clock("prepare"):
        feed, scales = detector_input(image, spec.input)
    with clock("detect"):
        output = engine.runner().run(feed)
    with clock("boxes"):
        return boxes_from_output(output, spec, scales, image.shape[:2])


def read_batch(
    engine: Engine, lines: Sequence[Image], width: int, clock: Clock = untimed
) -> list[Reading]:
    """Read RGB text lines (h, w, 3) as one batch, ``runner.max_batch`` at most, at one width."""
    spec = recognizer_spec(engine)
    with clock("fit"):
        feed = recognizer_input(lines, spec.input, width)
    with clock("recognize"):
        output = engine.runner(width).run(feed)
    with clock("text"):
        return texts_from_output(output, spec)


def recognize(engine: Engine, lines: Sequence[Image], clock: Clock = untimed) -> list[Reading]:
    """Read RGB text lines (h, w, 3) of any size; sorted into width buckets and batched inside."""
    spec = recognizer_spec(engine)
    buckets: dict[int, list[int]] = defaultdict(list)
    for index, line in enumerate(lines):
        buckets[bucket_of(line, spec)].append(index)
    readings: dict[int, Reading] = {}
    for width, members in sorted(buckets.items()):
        size = engine.runner(width).max_batch
        for start in range(0, len(members), size):
            batch = members[start : start + size]
            found = read_batch(engine, [lines[i] for i in batch], width, clock)
            readings.update(zip(batch, found, strict=True))
    return [readings[index] for index in range(len(lines))]
