"""State what a set of calibration images lacks, before ranges are measured on it.

The checks read a few images and need no model: blank images, images that are no lines, lines of one
width, images that leave most of the input empty, and copies of one image. int8 ranges from such a
set do not fit other images, which otherwise shows only when the finished engine is measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..common.input_size import InputSize, listed
from ..common.spread import spread
from ..errors import InputFileError
from ..ocr.detector_size import size_for
from ..ocr.preprocess import letterbox_size, line_width, to_gray
from ..ocr.recognizer import bucket_of
from ..ocr.roles import role_of
from ..ocr.types import Image
from ..spec import DetectorSpec, ModelSpec, RecognizerSpec
from .images import CalibrationSet

_READ = 48
"""Images that are read, evenly spread over the set."""
_FEW = 16
"""A set with fewer samples is reported: one of them can change a range."""
_BLANK = 16
"""Gray levels between the 1st and the 99th percentile; noise and JPEG artifacts have fewer."""
_MOST = 0.5
"""Share of images from which on a finding is reported."""
_FILLED = 0.25
"""An image that covers less than this share of the input is mostly padding."""
_NO_LINE = 1.0
"""An image whose width is at most this times its height is no line of several letters."""


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """What the checks need to know of one image."""

    size: tuple[int, int]
    is_blank: bool
    fingerprint: int
    filled: float
    """Share of the input that the image covers, 0..1."""
    input: InputSize
    """The input size that it is given."""


def shortcomings(images: CalibrationSet) -> tuple[str, ...]:
    """Return what a set of calibration images lacks, one sentence each; empty if nothing.

    Images that cannot be read are skipped: the calibration itself reports them.
    """
    spec, role = images.spec, role_of(images.spec)
    samples = []
    for index in spread(len(images.labels), _READ):
        try:
            samples += [_sample(image, spec) for image in role.images_of([images.labels[index]])]
        except InputFileError:
            continue
    if not samples:
        return ()
    found = [_blank(samples), _copies(samples)]
    if isinstance(spec, RecognizerSpec):
        found += [_no_lines(samples), _one_width(samples, spec), _short_lines(samples, spec)]
    elif isinstance(spec, DetectorSpec):
        found += [_strips(samples, spec), _one_size(samples, spec)]
    if len(images.labels) < _FEW:
        found.append(
            f"there are only {len(images.labels)} samples; give at least {_FEW}, better 100 or more"
        )
    return tuple(text for text in found if text)


def _sample(image: Image, spec: ModelSpec) -> _Sample:
    low, high = np.percentile(to_gray(image), (1, 99))
    if isinstance(spec, RecognizerSpec):
        given = InputSize(spec.input.height, bucket_of(image, spec))
        filled = min(1.0, line_width(image, given.height) / given.width)
    else:
        given = spec.input.size
        if isinstance(spec, DetectorSpec):
            given = size_for((image.shape[0], image.shape[1]), spec)
        rows, columns = letterbox_size(image, given)
        filled = rows * columns / given.area
    return _Sample(
        size=(image.shape[0], image.shape[1]),
        is_blank=bool(high - low < _BLANK),
        fingerprint=hash(image.tobytes()),
        filled=filled,
        input=given,
    )


def _share(samples: Sequence[_Sample], count: int) -> str:
    """Return how many of the samples, in words; "" if they are too few to be reported."""
    if count < max(1, _MOST * len(samples)):
        return ""
    return f"all {count}" if count == len(samples) else f"{count} of {len(samples)}"


def _blank(samples: Sequence[_Sample]) -> str:
    share = _share(samples, sum(sample.is_blank for sample in samples))
    return share and (
        f"{share} images are blank: their contrast is below {_BLANK} gray levels; give images with "
        "text like those in production"
    )


def _copies(samples: Sequence[_Sample]) -> str:
    most = Counter(sample.fingerprint for sample in samples).most_common(1)[0][1]
    share = _share(samples, most) if most > 1 else ""
    return share and f"{share} images have the same pixels; give different images"


def _no_lines(samples: Sequence[_Sample]) -> str:
    share = _share(samples, sum(s.size[1] <= _NO_LINE * s.size[0] for s in samples))
    return share and (
        f"{share} images are not wider than high, so they are no lines of text; give images of "
        "single lines, a labels.json with their boxes, or --detector BUNDLE, which crops them"
    )


def _one_width(samples: Sequence[_Sample], spec: RecognizerSpec) -> str:
    """Report input widths that no line has; every width has an engine of its own."""
    used = {sample.input.width for sample in samples}
    if len(used) == 1 and len(spec.widths) > 1:
        missing = ", ".join(str(width) for width in spec.widths if width not in used)
        return (
            f"all {len(samples)} lines are read at the input width {min(used)}; add lines for the "
            f"widths {missing}"
        )
    sizes = {sample.size for sample in samples}
    if len(samples) > 1 and len(sizes) == 1:
        height, width = next(iter(sizes))
        return (
            f"all {len(samples)} lines are {width} x {height} pixels; add shorter and longer ones"
        )
    return ""


def _one_size(samples: Sequence[_Sample], spec: DetectorSpec) -> str:
    """Report input sizes that no image has."""
    used = {sample.input for sample in samples}
    if len(used) > 1 or len(spec.input_sizes) == 1:
        return ""
    missing = [size for size in spec.input_sizes if size not in used]
    return (
        f"all {len(samples)} images are searched in the input of {min(used)}; add images for the "
        f"sizes {listed(missing)} (height x width)"
    )


def _short_lines(samples: Sequence[_Sample], spec: RecognizerSpec) -> str:
    share = _share(samples, sum(sample.filled < _FILLED for sample in samples))
    return share and (
        f"{share} lines cover less than {100 * _FILLED:.0f} % of their input width "
        f"({min(spec.widths)} pixels at least), so the ranges are mostly those of padding; add "
        "longer lines, or narrower widths to buckets"
    )


def _strips(samples: Sequence[_Sample], spec: DetectorSpec) -> str:
    share = _share(samples, sum(sample.filled < _FILLED for sample in samples))
    return share and (
        f"{share} images are strips, such as cropped lines: they cover less than "
        f"{100 * _FILLED:.0f} % of their input; give whole images like those in "
        "production"
    )
