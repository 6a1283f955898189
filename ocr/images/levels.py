"""Bring gray values of more than 8 bits, and floats, to 0..255.

A file rarely states which value is white: 12-bit scanners write 0..4095 into 16-bit files, and
floats are 0..1, 0..255, -1..1 or anything else. The values decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..types import Image

Values: TypeAlias = npt.NDArray[Any]
"""Pixels of any number type, (H, W) or (H, W, C)."""

SAMPLE = 1 << 22
"""Number of values that decide, spread over the image."""
_HIGHEST = 0.9999
"""Quantile that counts as the largest value: single defective pixels do not darken an image."""
_FLOAT_WHITES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
_OVERSHOOT = 1.25
"""Resampling with a cubic filter exceeds white, and falls below black, by up to a quarter."""


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The values that become 0 and 255."""

    black: float
    white: float

    def to_bytes(self, values: Values) -> Image:
        """Return values of the same shape as uint8; those beyond the levels are clipped."""
        # float64 holds 32-bit integers exactly
        real = values.astype(np.float64)
        real = np.nan_to_num(real, nan=self.black, posinf=self.white, neginf=self.black)
        scaled = (real - self.black) * (255.0 / (self.white - self.black))
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def levels_of(sample: Values) -> Levels:
    """Return the levels of an image from some of its values (at least one), of any shape.

    Integers: black is 0, and white is the largest value of the smallest number of bits that holds
    the values, at least 8 bits. Floats: black is 0, and white is the smallest usual white that is
    not exceeded. Values below 0: -1..1, or else the smallest and the largest value.
    """
    finite = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample.ravel()
    if not finite.size:
        return Levels(black=0, white=255)
    low, high = (float(np.quantile(finite, q, method="nearest")) for q in (1 - _HIGHEST, _HIGHEST))
    if sample.dtype.kind == "f":
        return _float_levels(low, high)
    if low < 0:
        return _stretched(low, high)
    bits = int(high).bit_length()
    # A mask of 0 and 1 has one bit; otherwise small values are a dark image of 8 bits.
    return Levels(black=0, white=2.0 ** (1 if bits <= 1 else max(8, bits)) - 1)


def _float_levels(low: float, high: float) -> Levels:
    if low < (1 - _OVERSHOOT) * max(high, 0):  # further below 0 than a filter goes
        is_signed = max(-low, high) <= _OVERSHOOT
        return Levels(black=-1, white=1) if is_signed else _stretched(low, high)
    white = next((white for white in _FLOAT_WHITES if high <= _OVERSHOOT * white), high)
    return Levels(black=0, white=white)


def _stretched(low: float, high: float) -> Levels:
    # One value only: any distance will do.
    return Levels(black=low, white=high if high > low else low + 1)


def levels_of_array(values: Values) -> Levels:
    """Return the levels of an image (H, W[, C]) in memory."""
    step = max(1, int((values.size / SAMPLE) ** 0.5))
    return levels_of(values[::step, ::step])
