"""Choose the input size of a detector for an image.

A detector has an engine for each of its sizes. An image is scaled to fit one of them, so a size of
the image's proportions keeps its text larger than a square one of the same number of pixels.
"""

from __future__ import annotations

from ..common.input_size import InputSize
from ..spec import DetectorSpec

CLOSE = 0.95
"""A scale that is at least this share of the best one is as good: text loses 5 % of its height."""


def wanted_scale(image: tuple[int, int], spec: DetectorSpec) -> float:
    """Return the scale at which an image of (height, width) pixels should be searched.

    1 is the image's own size. ``limit_side`` of the spec changes it as PaddleOCR's
    ``det_limit_side_len`` does: ``min`` enlarges images whose shorter side is below it; ``max``
    shrinks images whose longer side is above it.
    """
    if spec.limit_side is None:
        return 1.0
    if spec.limit_type == "min":
        return max(1.0, spec.limit_side / min(image))
    return min(1.0, spec.limit_side / max(image))


def scale_in(image: tuple[int, int], size: InputSize) -> float:
    """Return the scale of an image of (height, width) pixels that fills an input."""
    return min(size.height / image[0], size.width / image[1])


def size_for(image: tuple[int, int], spec: DetectorSpec) -> InputSize:
    """Return the input size in which an image of (height, width) pixels is searched.

    It is the one with the fewest pixels of those that reach the wanted scale. If none does, it is
    the one with the fewest pixels of those that reach almost the largest scale.
    """
    largest = max(scale_in(image, size) for size in spec.input_sizes)
    enough = CLOSE * min(wanted_scale(image, spec), largest)
    # The sizes are sorted by their number of pixels.
    return next(size for size in spec.input_sizes if scale_in(image, size) >= enough)
