"""The examples of CropWarp."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..image_inputs import COLORS, DTYPES
from ..plugin import Example

_UPRIGHT = ((3, 4), (23, 4), (23, 12), (3, 12))
_TILTED = ((5.3, 9.1), (27.2, 3.4), (29.7, 10.2), (7.1, 17.9))
_IN_PERSPECTIVE = ((2, 3), (30, 5.5), (28, 19.5), (4, 11))
_UPSIDE_DOWN = ((30, 15), (10, 15), (10, 7), (30, 7))
_OUTSIDE = ((-9.5, -6), (6, -6), (6, 5), (-9.5, 5))
_LONG = ((0, 8), (36, 8), (36, 10), (0, 10))
_NARROW = ((11, 2), (11.4, 2), (11.4, 20), (11, 20))
_WHOLE = ((0, 0), (36, 0), (36, 22), (0, 22))
_POINT = ((7, 7),) * 4
_IN_LINE = ((1, 1), (9, 9), (17, 17), (25, 25))
_CROSSED = ((2, 2), (30, 18), (30, 2), (2, 18))
_BENT = ((2, 2), (30, 2), (12, 8), (2, 18))
_NAN = ((1, 1), (9, np.nan), (9, 5), (1, 5))
_INFINITE = ((1, 1), (np.inf, 1), (np.inf, 5), (1, 5))
_HUGE = ((1, 1), (3e38, 1), (3e38, 5), (1, 5))
_FAR = ((60000, 60000), (60020, 60000), (60020, 60010), (60000, 60010))

_CASES = {
    "upright": ((_UPRIGHT,), (8, 24)),
    "tilted, in perspective": ((_TILTED, _IN_PERSPECTIVE), (8, 24)),
    "by areas": ((_TILTED, _IN_PERSPECTIVE, _WHOLE), (4, 16)),
    "by whole areas": ((_WHOLE,), (2, 4)),
    "upside down, odd width": ((_UPSIDE_DOWN,), (7, 21)),
    "over the border": ((_OUTSIDE, _FAR), (8, 16)),
    "long, squeezed": ((_LONG,), (8, 16)),
    "narrow": ((_NARROW,), (8, 8)),
    "none": ((), (8, 16)),
    "no quadrilaterals": ((_POINT, _IN_LINE, _NAN, _INFINITE, _HUGE), (4, 8)),
    "more than a block": ((_TILTED, _UPRIGHT), (36, 40)),
    "larger than its samples": ((_WHOLE,), (1, 2)),
    "plain image, crossed or bent inwards": ((_CROSSED, _BENT), (8, 12)),
}
"""Quadrilaterals on an image of 22 x 36 pixels, and the size of the crops."""


def examples() -> list[Example]:
    """Return crops of noise, including invalid quadrilaterals."""
    rng, made = np.random.default_rng(0), []
    image: npt.NDArray[np.uint8] = rng.integers(0, 256, (22, 36, 3), np.uint8)
    for number, (name, (corners, (height, width))) in enumerate(_CASES.items()):
        to, dtype = list(DTYPES.items())[number % 2]
        color = list(COLORS.values())[number % 3]
        mean = rng.uniform(0, 200, len(color)).astype(np.float32)
        scale = rng.choice([1 / 255, 0.02], len(color)).astype(np.float32)
        quads = np.array(corners, np.float32).reshape(-1, 4, 2)
        attributes = {
            "height": height, "width": width, "pad": int(rng.integers(256)), "to": to,
        }  # fmt: skip
        # Where a quadrilateral crosses itself, the denominator of the map passes through zero, and
        # rounding decides which pixels are sampled. On a plain image all of them are equal.
        plain = name.startswith("plain")
        inputs = (np.full_like(image, 77) if plain else image, quads, color, mean, scale)
        made.append(Example(name=f"{dtype} {name}", inputs=inputs, attributes=attributes))
    return made
