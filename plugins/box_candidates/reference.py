"""The reference of BoxCandidates in NumPy and OpenCV, and its examples."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ..plugin import Attributes, Example

UNIT = 2.0**24
"""Probabilities are summed as multiples of 1 / UNIT: integer sums do not depend on the order."""
Outputs = tuple[npt.NDArray, npt.NDArray, npt.NDArray, npt.NDArray, npt.NDArray]


def filled(text: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Fill the holes of a mask (H, W), with everything inside them."""
    # With a border around the map, all background that reaches the map's edge is one component.
    padded = np.pad(~text, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(padded, connectivity=4)
    return (labels != labels[0, 0])[1:-1, 1:-1]


def components(mask: npt.NDArray[np.bool_]) -> list[tuple[npt.NDArray, npt.NDArray]]:
    """Return rows and columns of each 8-connected component, in the order of first pixels."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    numbers, firsts = np.unique(labels, return_index=True)
    # The op's order is that of first pixels, whatever order OpenCV's labels have.
    order = numbers[np.argsort(firsts)]
    places = (np.nonzero(labels == number) for number in order if number)
    return [(rows, columns) for rows, columns in places]


def _of_map(probability: npt.NDArray, threshold: np.float32, limits: tuple[int, int]) -> Outputs:
    """Return the outputs for one map (H, W); see :func:`box_candidates`."""
    max_components, max_rows = limits
    width = probability.shape[1]
    # Rounded to whole numbers as in the kernel, so that the sums are equal to the bit.
    exact = np.nan_to_num(probability.astype(np.float32), nan=0.0)
    shares = np.rint(exact.clip(0, 1) * np.float32(UNIT)).astype(np.int64)
    regions = components(filled(probability.astype(np.float32) > threshold))
    areas, means = np.zeros(max_components, np.int32), np.zeros(max_components, np.float32)
    rows = np.tile(np.array([0, -1], np.int32), (max_components, 1))
    extents = np.tile(np.array([width, -1], np.int32), (max_rows, 1))
    used = 0
    for number, (y, x) in enumerate(regions[:max_components]):
        first, last = y.min(), y.max()
        if used + last - first + 1 > max_rows:
            break
        areas[number], rows[number] = len(y), (first, last)
        means[number] = shares[y, x].sum() / UNIT / len(y)
        np.minimum.at(extents[:, 0], used + y - first, x)
        np.maximum.at(extents[:, 1], used + y - first, x)
        used += last - first + 1
    return np.array(len(regions), np.int32), areas, means, rows, extents


def box_candidates(
    probability: npt.NDArray, threshold: npt.NDArray, max_components: int, max_rows: int
) -> Outputs:
    """Find the regions above a threshold, with their holes filled.

    Args:
        probability: (N, H, W) in [0, 1]. Means clip values outside of it. NaN is background, and
            counts as 0 in means.
        threshold: (1,) float32.
        max_components: the largest number of components in the outputs.
        max_rows: the largest number of rows of all components together in the outputs.

    Returns:
        count (N,): the number of all components, including those that exceed the limits. For the
        others, in the order of their first pixels: areas (N, max_components), in pixels; means (N,
        max_components); rows (N, max_components, 2), first and last; extents (N, max_rows, 2),
        first and last column of each row, one component after the other. Unused places contain area
        and mean 0, rows (0, -1), extents (W, -1). All are int32, except means, float32.
    """
    limits = (max_components, max_rows)
    maps = [_of_map(each, threshold[0], limits) for each in probability]
    if not maps:
        empty = _of_map(np.zeros((1, 1)), threshold[0], limits)
        count, areas, means, rows, extents = (np.empty((0, *e.shape), e.dtype) for e in empty)
    else:
        count, areas, means, rows, extents = (np.stack(of) for of in zip(*maps, strict=True))
    return count, areas, means, rows, extents


def reference(inputs: Sequence[npt.NDArray], attributes: Attributes) -> Outputs:
    """Call :func:`box_candidates` with the signature of a plugin's reference."""
    return box_candidates(
        inputs[0], inputs[1], attributes["max_components"], attributes["max_rows"]
    )


def spiral(size: int) -> npt.NDArray[np.bool_]:
    """Return a spiral one pixel wide, (size, size): the longest path between two ends."""
    mask = np.zeros((size, size), bool)
    y = x = 0
    step = (0, 1)
    mask[0, 0] = True
    # The first three sides have the full length, then each pair of sides is 2 pixels shorter.
    for turn in range(size):
        for _ in range(size - 1 - max(0, turn - 1) // 2 * 2):
            y, x = y + step[0], x + step[1]
            mask[y, x] = True
        step = (step[1], -step[0])
    return mask


def comb(height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return teeth that meet in the last row, so that many union-find roots become one."""
    mask = np.zeros((height, width), bool)
    mask[:, ::2] = mask[-1] = True
    return mask


def rings(size: int) -> npt.NDArray[np.bool_]:
    """Return nested squares, (size, size): the outer one contains all others."""
    y, x = np.indices((size, size))
    return np.minimum(np.minimum(y, x), size - 1 - np.maximum(y, x)) % 2 == 0


def examples() -> list[Example]:
    """Return shapes that are hard to label, noise, NaN, and regions that exceed the limits."""
    rng = np.random.default_rng(0)
    y, x = np.indices((6, 40))
    masks = {
        "1 pixel": np.ones((1, 1, 1), bool),
        "one row": rng.random((1, 1, 70)) < 0.7,
        "one column": rng.random((2, 13, 1)) < 0.6,
        "nothing": np.zeros((1, 4, 33), bool),
        "all text": np.ones((1, 4, 65), bool),
        "checkerboard": ((y + x) % 2 == 0)[None],
        "spiral": spiral(15)[None],
        "comb": np.stack([comb(5, 45), comb(5, 45)[::-1]]),
        "rings": rings(15)[None],
        "U in U": np.stack([comb(9, 9), comb(9, 9).T]),
        "noise": rng.random((2, 9, 50)) < 0.45,
        "no map": np.zeros((0, 4, 4), bool),
    }
    wide = {"max_components": 60, "max_rows": 200}
    made = []
    for name, mask in masks.items():
        values = np.where(mask, 0.5 + rng.random(mask.shape) / 2, rng.random(mask.shape) / 2.5)
        made.append(_example(name, values.astype(np.float32), wide))
    noise = rng.random((2, 7, 40)).astype(np.float16)
    made.append(_example("float16 noise", noise, wide))
    made.append(_example("too many components", noise, {"max_components": 5, "max_rows": 99}))
    made.append(_example("too many rows", noise, {"max_components": 150, "max_rows": 12}))
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1.5, 0.5, 0.4999, 1e-9], np.float32)
    made.append(_example("NaN, infinity, beyond 0 and 1", rng.choice(odd, (1, 8, 40)), wide))
    return made


def _example(name: str, probability: npt.NDArray, attributes: Attributes) -> Example:
    threshold = np.array([0.5], np.float32)
    return Example(name=name, inputs=(probability, threshold), attributes=attributes)
