"""The NumPy reference of ImageToTensor, and its examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..image_inputs import COLORS, DTYPES, colored
from ..plugin import Array, Attributes, Example
from ..resizing import weights


def image_to_tensor(inputs: Sequence[Array], attributes: Attributes) -> Array:
    """Resize, pad and normalize an image; README.md lists shapes and attributes."""
    image, *colors = inputs
    names = ("rows", "columns", "height", "width", "pad")
    rows, columns, height, width, pad = (attributes[name] for name in names)
    down = weights(image.shape[0], rows, area=bool(attributes["area"]))
    across = weights(image.shape[1], columns, area=bool(attributes["area"]))
    # rows: (rows, H), pixels: (H, W, 3), columns: (columns, W) -> (rows, columns, 3)
    padded = np.full((height, width, 3), pad, np.float64)
    padded[:rows, :columns] = np.einsum("ry,yxc,kx->rkc", down, image, across, optimize=True)
    tensor = colored(padded, colors).transpose(2, 0, 1)[None]
    return np.ascontiguousarray(tensor, DTYPES[attributes["to"]])


_CASES = {
    "shrinks to the width": ((20, 30), (8, 12), (12, 12), 0),
    "shrinks by areas": ((20, 30), (8, 12), (8, 16), 1),
    "shrinks by whole areas": ((16, 24), (4, 6), (4, 8), 1),
    "grows": ((5, 7), (10, 14), (10, 16), 0),
    "grows by areas": ((5, 7), (8, 15), (9, 16), 1),
    "stays": ((6, 8), (6, 8), (6, 8), 0),
    "of one pixel": ((1, 1), (3, 2), (5, 9), 0),
    "to one pixel": ((9, 4), (1, 1), (1, 1), 1),
    "odd width": ((11, 13), (6, 7), (6, 11), 0),
    "long and thin": ((2, 300), (2, 16), (3, 16), 1),
}
"""Size of the image, of the resized image and of the tensor; the attribute area."""


def examples() -> list[Example]:
    """Return noise in all color modes, with sides that grow, shrink and stay."""
    rng, made = np.random.default_rng(0), []
    for number, (name, (size, (rows, columns), (height, width), area)) in enumerate(_CASES.items()):
        # Dtypes and color modes in turns, so that each occurs with growing and shrinking sides.
        to, dtype = list(DTYPES.items())[number % 2]
        color = list(COLORS.values())[number % 3]
        mean = rng.uniform(0, 200, len(color)).astype(np.float32)
        scale = rng.choice([1 / 255, 0.02, 1.0], len(color)).astype(np.float32)
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        attributes = {
            "rows": rows, "columns": columns, "height": height, "width": width,
            "pad": int(rng.integers(256)), "area": area, "to": to,
        }  # fmt: skip
        inputs = (image, color, mean, scale)
        made.append(Example(name=f"{dtype} {name}", inputs=inputs, attributes=attributes))
    return made
