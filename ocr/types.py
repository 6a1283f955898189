"""Names for the arrays that go around in this package."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
"""An image, (H, W, 3) uint8 RGB, or (H, W) uint8 gray where a function says so."""

Quads: TypeAlias = npt.NDArray[np.float32]
"""Quadrilaterals, (K, 4, 2) float32: (x, y) in pixels, clockwise from the text's top left corner.
"""
