"""Names for the arrays that several modules share."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
"""An image, (H, W, 3) uint8 RGB; functions that also accept (H, W) gray document it."""

Quads: TypeAlias = npt.NDArray[np.float32]
"""Quadrilaterals, (K, 4, 2) float32: (x, y) in pixels, clockwise from the text's top left corner.
"""

Outlines: TypeAlias = npt.NDArray[np.float32]
"""Outlines of lines, (K, P, 2) float32, or one of them, (P, 2): quadrilaterals (P = 4), or polygons
around curved text; see ``ocr.outlines``."""

Scores: TypeAlias = npt.NDArray[np.float32]
"""(K,) float32, one score from 0 to 1 for each of K boxes."""

ScoredQuads: TypeAlias = tuple[Quads, Scores]
"""K boxes, (K, 4, 2), and their scores, (K,)."""

ScoredBoxes: TypeAlias = tuple[Outlines, Scores]
"""K boxes, (K, P, 2), and their scores, (K,)."""

Map: TypeAlias = npt.NDArray[np.float32]
"""A map of text probabilities, (H, W) float32 in [0, 1]."""

Tensor: TypeAlias = npt.NDArray[np.float32]
"""Input of a model, (N, C, H, W) float32, or one image of it, (C, H, W)."""

Output: TypeAlias = npt.NDArray[np.float32]
"""Output of a converted model, float32: (N, C, H, W) or (N, H, W) of a detector, (N, T, C) of a
recognizer.
"""
