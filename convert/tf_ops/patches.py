"""Sliding windows over feature maps.

    ExtractImagePatches(x)  ->  Pad, one strided Slice for each place in the window, Concat
    the same, large windows ->  Pad, Gather rows, Gather columns, Reshape, Transpose, Reshape
    Dilation2D(x, w)        ->  max over (dy, dx) of x[y s + dy r, x s + dx r] + w[dy, dx]

No value is computed, so patches are exact in every precision. The channels of a patch are ordered
(row, column, channel), as the Concat of channels-first slices orders them.
"""

from __future__ import annotations

import numpy as np

from .emitter import Emitter, RefusalError, Rule, Tensor

_LARGEST = 64
"""Places in the largest window for which slices are used."""

_LOWEST = -3.0e38
"""Padding of a maximum; adding a kernel's value does not make it overflow."""


def _padding(
    sizes: list[int], kernel: list[int], strides: list[int], rates: list[int], kind: str
) -> tuple[list[int], list[int], list[int]]:
    """Return the padding in front and behind, and the number of windows, of each axis."""
    front, behind, count = [], [], []
    for n, k, stride, rate in zip(sizes, kernel, strides, rates, strict=True):
        reach = (k - 1) * rate + 1
        windows = -(-n // stride) if kind == "SAME" else (n - reach) // stride + 1
        total = max(0, (windows - 1) * stride + reach - n) if kind == "SAME" else 0
        front.append(total // 2)  # TensorFlow puts the odd pixel behind
        behind.append(total - total // 2)
        count.append(windows)
    return front, behind, count


def _padded(x: Tensor, front: list[int], behind: list[int], value: float) -> Tensor:
    """Pad the axes between the first (batch) and the last (channels)."""
    if not any(front) and not any(behind):
        return x
    pads = (0, *front, 0, 0, *behind, 0)
    return x.emit.op("Pad", x, pads, x.emit.constant(np.array(value, x.dtype)))


def _attributes(e: Emitter, *names: str) -> list[list[int]]:
    """Return attributes with one number per axis, without those of batch and channels.

    An op of TensorFlow Lite has no dilations if they are all 1.
    """
    return [[int(value) for value in e.attribute(name, [1, 1, 1, 1])[1:-1]] for name in names]


def _patches(e: Emitter, kernel: list[int], strides: list[int], rates: list[int]) -> Tensor:
    """Return all windows: (N, windows..., kernel... C)."""
    x = e[0]
    batch, *sizes, channels = x.shape
    front, behind, count = _padding(sizes, kernel, strides, rates, e.attribute("padding"))
    if min(count) < 1:
        raise RefusalError(
            f"its window is larger than the map of size {sizes}; use a smaller window"
        )
    x, rank = _padded(x, front, behind, 0), len(sizes)
    if np.prod(kernel) <= _LARGEST:
        return _sliced(x, kernel, strides, rates, count)
    for axis in range(rank):
        starts = np.arange(count[axis]) * strides[axis]
        places = starts[:, None] + np.arange(kernel[axis]) * rates[axis]  # (windows, kernel)
        if not np.array_equal(places.reshape(-1), np.arange(x.shape[axis + 1])):
            x = x.take(e.constant(places.reshape(-1).astype(np.int64)), axis + 1)
    # (N, windows * kernel of each axis, C) -> (N, w0, k0, w1, k1, ..., C) -> (N, w..., k..., C)
    both = [n for pair in zip(count, kernel, strict=True) for n in pair]
    x = x.reshape(batch, *both, channels)
    order = (*range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2))
    x = x.transpose(0, *order, 2 * rank + 1)
    return x.reshape(batch, *count, int(np.prod(kernel)) * channels)


def _sliced(
    x: Tensor, kernel: list[int], strides: list[int], rates: list[int], count: list[int]
) -> Tensor:
    """Return the windows of a padded map (N, ..., C), by slices of it with channels first."""
    rank = len(kernel)
    x = x.transpose(0, rank + 1, *range(1, rank + 1))  # (N, C, ...)
    parts = []
    for place in np.ndindex(*kernel):
        part = x
        for axis, offset in enumerate(place):
            start = offset * rates[axis]
            end = start + (count[axis] - 1) * strides[axis] + 1
            part = part.slice(axis + 2, start, end, strides[axis])
        parts.append(part)
    x = x.emit.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    return x.transpose(0, *range(2, rank + 2), 1)


def _image_patches(e: Emitter) -> Tensor:
    kernel, strides, rates = _attributes(e, "ksizes", "strides", "rates")
    return _patches(e, kernel, strides, rates)


def _volume_patches(e: Emitter) -> Tensor:
    kernel, strides = _attributes(e, "ksizes", "strides")
    return _patches(e, kernel, strides, [1] * len(kernel))


def _dilation(e: Emitter) -> Tensor:
    x, weights = e[0], e[1]
    strides, rates = _attributes(e, "strides", "rates")
    kernel = list(weights.shape[:2])  # (kh, kw, C)
    front, behind, count = _padding(
        list(x.shape[1:3]), kernel, strides, rates, e.attribute("padding")
    )
    x = _padded(x, front, behind, _LOWEST)
    terms = []
    for dy, dx in np.ndindex(*kernel):
        part, weight = x, weights.take(np.int64(dy), 0).take(np.int64(dx), 0)  # (C,)
        for axis, offset in ((0, int(dy)), (1, int(dx))):
            start = offset * rates[axis]
            end = start + (count[axis] - 1) * strides[axis] + 1
            part = part.slice(axis + 1, start, end, strides[axis])
        terms.append(part + weight)
    return e.op("Max", *terms) if len(terms) > 1 else terms[0]


RULES: dict[str, Rule] = {
    "Dilation2D": _dilation,
    "ExtractImagePatches": _image_patches,
    "ExtractVolumePatches": _volume_patches,
}
