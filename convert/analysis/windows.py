"""Max-pooling and unpooling with windows of any size, in standard ops.

Windows of 2x2 with stride 2 have custom ops (``plugins``); this module is for all others. Windows
may overlap: if several of them write to one pixel, their values are added, as ``tf.scatter_nd`` and
``tf.math.unsorted_segment_sum`` do.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import Shape, attribute, shape_of
from ..node_builder import NodeBuilder

_LOWEST = np.float32(np.finfo(np.float32).min)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows of a pooling; pairs are (vertical, horizontal)."""

    full: Shape
    """(N, C, H, W) of the image that is pooled."""
    pooled: Shape
    """(N, C, h, w)."""
    kernel: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int]
    """Padding: rows above and columns left of the image."""

    @property
    def is_plain(self) -> bool:
        """Whether windows are 2x2, side by side, and cover the image."""
        even = self.full[2] % 2 == 0 and self.full[3] % 2 == 0
        return self.kernel == self.stride == (2, 2) and self.before == (0, 0) and even

    @property
    def overlap(self) -> bool:
        """Whether some pixels are in more than one window."""
        return any(k > s for k, s in zip(self.kernel, self.stride, strict=True))

    @property
    def begin_inside(self) -> bool:
        """Whether row and column i * stride are in window i and in the image, for every i."""
        return all(
            self.before[i] < self.kernel[i]
            and (self.pooled[2 + i] - 1) * self.stride[i] < self.full[2 + i]
            for i in range(2)
        )

    @property
    def after(self) -> tuple[int, int]:
        """Padding: rows below and columns right of the image.

        Negative: so many rows or columns are in no window.
        """
        down, right = (
            (self.pooled[2 + i] - 1) * self.stride[i]
            + self.kernel[i]
            - self.before[i]
            - self.full[2 + i]
            for i in range(2)
        )
        return down, right

    def _places(self, rng: np.random.Generator, axis: int) -> npt.NDArray[np.int64]:
        """Draw a row (axis 0) or column (axis 1) inside each window.

        Neighboring windows get different ones, so that no two values meet on one pixel.
        """
        # From i * stride on, at most one stride of rows belongs to window i alone.
        count = min(self.stride[axis], self.kernel[axis] - self.before[axis])
        shape = [1, 1, 1, 1]
        shape[2 + axis] = -1  # (1, 1, h, 1) or (1, 1, 1, w)
        low = np.arange(self.pooled[2 + axis]).reshape(shape) * self.stride[axis]
        high = np.minimum(low + count, self.full[2 + axis])
        return rng.integers(np.broadcast_to(low, self.pooled), np.broadcast_to(high, self.pooled))

    def draw(
        self, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Draw a test case: MaxPool indices, values, and the correct unpooled result, NCHW."""
        _, channels, height, width = self.full
        rows, columns = self._places(rng, 0), self._places(rng, 1)
        planes = np.arange(self.full[0] * channels).reshape(self.full[0], channels, 1, 1)
        # ONNX counts indices over the whole tensor, row-major: ((n C + c) H + row) W + column.
        indices = (planes * height + rows) * width + columns
        values = rng.standard_normal(self.pooled, np.float32)
        result = np.zeros(self.full, np.float32)
        result.reshape(-1)[indices.reshape(-1)] = values.reshape(-1)
        return indices, values, result


def windows_of(pool: ir.Node) -> Windows:
    """Return the windows of a MaxPool with known shapes."""
    full, pooled = shape_of(pool.inputs[0]), shape_of(pool.outputs[0])
    kernel = tuple(attribute(pool, "kernel_shape"))
    stride = tuple(attribute(pool, "strides", (1, 1)))
    pads = tuple(attribute(pool, "pads", (0, 0, 0, 0)))
    same = attribute(pool, "auto_pad", "NOTSET")
    before = (pads[0], pads[1])
    if same in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            max((pooled[2 + i] - 1) * stride[i] + kernel[i] - full[2 + i], 0) for i in range(2)
        ]
        halves = [(t + (same == "SAME_LOWER")) // 2 for t in totals]  # LOWER: the odd one in front
        before = (halves[0], halves[1])
    return Windows(
        full=full,
        pooled=pooled,
        kernel=(kernel[0], kernel[1]),
        stride=(stride[0], stride[1]),
        before=before,
    )


def _window_values(build: NodeBuilder, windows: Windows, x: ir.Value) -> list[ir.Value]:
    """Add, for each place in a window in row-major order, the values there, (N, C, h, w)."""
    shape, after = windows.pooled, tuple(max(size, 0) for size in windows.after)
    n, c, h, w = windows.full
    if any((*windows.before, *after)):
        pads = (0, 0, *windows.before, 0, 0, *after)  # in front of each axis, then behind each
        padded = (n, c, h + windows.before[0] + after[0], w + windows.before[1] + after[1])
        x = build.op("Pad", x, pads, _LOWEST, shape=padded)
    values = []
    for row, column in product(*map(range, windows.kernel)):
        ends = (
            row + (shape[2] - 1) * windows.stride[0] + 1,
            column + (shape[3] - 1) * windows.stride[1] + 1,
        )
        # One pixel of each window: start, end, axes (height and width), step.
        bounds = ((row, column), ends, (2, 3), windows.stride)
        values.append(build.op("Slice", x, *bounds, shape=shape))
    return values


def first_maxima(build: NodeBuilder, windows: Windows, x: ir.Value) -> list[ir.Value]:
    """Add one mask (N, C, h, w) for each place in a window, in row-major order.

    A mask is true for the windows whose first maximum is at that place. The values are compared
    with their own maximum, not with the pooled value: see docs/decisions/0004.
    """
    values = _window_values(build, windows, x)
    largest = build.op("Max", *values)
    masks = [build.op("Equal", values[0], largest, dtype=ir.DataType.BOOL)]
    taken = masks[0]  # windows whose maximum was at an earlier place
    for value in values[1:]:
        equal = build.op("Equal", value, largest, dtype=ir.DataType.BOOL)
        masks.append(build.op("And", equal, build.op("Not", taken)))
        if value is not values[-1]:
            taken = build.op("Or", taken, masks[-1])
    return masks


def unpool(
    build: NodeBuilder, windows: Windows, masks: list[ir.Value], values: ir.Value
) -> ir.Value:
    """Unpool values (N, C, h, w) to (N, C, H, W): each goes to the place that its mask states.

    The values of each place become channels of their own. A transposed convolution with one-hot
    kernels moves each channel to its place and adds values that meet.
    """
    n, c, h, w = windows.pooled
    count, after, zero = len(masks), windows.after, build.constant(np.float32(0))
    shares = [
        build.op(
            "Unsqueeze",
            build.op("Where", mask, values, zero, dtype=values.dtype),
            (2,),
            shape=(n, c, 1, h, w),
        )
        for mask in masks
    ]
    stacked = build.op("Concat", *shares, shape=(n, c, count, h, w), axis=2)
    flat = build.reshape(stacked, (n, c * count, h, w))
    # One kernel per place, with a single 1; the same ones for each channel: (C places, 1, kh, kw).
    kernels = np.eye(count, dtype=np.float32).reshape(count, 1, *windows.kernel)
    return build.op(
        "ConvTranspose",
        flat,
        np.tile(kernels, (c, 1, 1, 1)),
        shape=windows.full,
        group=c,
        strides=windows.stride,
        pads=(*windows.before, *(max(size, 0) for size in after)),
        output_padding=tuple(max(-size, 0) for size in after),
    )
