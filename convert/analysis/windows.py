"""Pooling windows of any size: where they lie, and un-pooling them with standard ops.

The 2x2 windows with stride 2 that nearly everyone uses have ops of their own (``plugins``); this is
for the others. Windows may overlap: what several of them put on one pixel is added up, which is
what ``tf.scatter_nd`` and ``tf.math.unsorted_segment_sum`` say.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import attribute, new_initializer, shape_of, the, typed_like

Shape = tuple[int, ...]
_LOWEST = np.float32(np.finfo(np.float32).min)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows over an image, in the order (vertical, horizontal)."""

    full: Shape
    """(N, C, H, W) of what is pooled."""
    pooled: Shape
    """(N, C, h, w)."""
    kernel: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int]
    """Rows above and columns left of the image."""

    @property
    def is_plain(self) -> bool:
        """Whether they are 2x2, side by side, and fill the image."""
        even = self.full[2] % 2 == 0 and self.full[3] % 2 == 0
        return self.kernel == self.stride == (2, 2) and self.before == (0, 0) and even

    @property
    def overlap(self) -> bool:
        """Whether some pixels are in more than one window."""
        return any(k > s for k, s in zip(self.kernel, self.stride, strict=True))

    @property
    def begin_inside(self) -> bool:
        """Whether every window has a pixel of the image that is its own."""
        return all(
            self.before[i] < self.kernel[i]
            and (self.pooled[2 + i] - 1) * self.stride[i] < self.full[2 + i]
            for i in range(2)
        )

    @property
    def after(self) -> tuple[int, int]:
        """Rows below and columns right of the image that windows reach; negative if left over."""
        down, right = (
            (self.pooled[2 + i] - 1) * self.stride[i]
            + self.kernel[i]
            - self.before[i]
            - self.full[2 + i]
            for i in range(2)
        )
        return down, right

    def _places(self, rng: np.random.Generator, axis: int) -> npt.NDArray[np.int64]:
        """Draw a row (axis 0) or column of each window such that no two windows share one."""
        most = min(self.stride[axis], self.kernel[axis] - self.before[axis])
        shape = [1, 1, 1, 1]
        shape[2 + axis] = -1
        low = np.arange(self.pooled[2 + axis]).reshape(shape) * self.stride[axis]
        high = np.minimum(low + most, self.full[2 + axis])
        return rng.integers(np.broadcast_to(low, self.pooled), np.broadcast_to(high, self.pooled))

    def draw(
        self, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return ONNX MaxPool indices, values, and the un-pooled result, all NCHW."""
        _, channels, height, width = self.full
        rows, columns = self._places(rng, 0), self._places(rng, 1)
        planes = np.arange(self.full[0] * channels).reshape(self.full[0], channels, 1, 1)
        indices = (planes * height + rows) * width + columns
        values = rng.standard_normal(self.pooled, np.float32)
        result = np.zeros(self.full, np.float32)
        result.reshape(-1)[indices.reshape(-1)] = values.reshape(-1)
        return indices, values, result


def windows_of(pool: ir.Node) -> Windows:
    """Read the windows of a MaxPool with known shapes."""
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
        halves = [(t + (same == "SAME_LOWER")) // 2 for t in totals]
        before = (halves[0], halves[1])
    return Windows(
        full=full,
        pooled=pooled,
        kernel=(kernel[0], kernel[1]),
        stride=(stride[0], stride[1]),
        before=before,
    )


class _Chain:
    """Makes nodes one after another, quantized."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph, self.nodes = graph, list[ir.Node]()

    def numbers(self, *values: int) -> ir.Value:
        return new_initializer(self.graph, np.array(values, np.int64), "window")

    def add(
        self, op: str, inputs: list[ir.Value], shape: Shape, **attributes: int | Shape
    ) -> ir.Value:
        """Add a node; what compares gives bool, all else the type of the first input."""
        node = ir.node(op, inputs, attributes=attributes)
        typed_like(node.outputs[0], the(inputs[1] if op == "Where" else inputs[0]), shape)
        if op == "Equal":
            node.outputs[0].type = ir.TensorType(ir.DataType.BOOL)
        self.nodes.append(node)
        return node.outputs[0]


def _window_values(chain: _Chain, windows: Windows, x: ir.Value) -> list[ir.Value]:
    """Make the values at each place of the windows, row-major, each (N, C, h, w)."""
    shape, after = windows.pooled, tuple(max(size, 0) for size in windows.after)
    n, c, h, w = windows.full
    if any((*windows.before, *after)):
        pads = chain.numbers(0, 0, *windows.before, 0, 0, *after)
        lowest = new_initializer(chain.graph, _LOWEST, "lowest")
        padded = (n, c, h + windows.before[0] + after[0], w + windows.before[1] + after[1])
        x = chain.add("Pad", [x, pads, lowest], padded)
    values = []
    for row, column in product(*map(range, windows.kernel)):
        ends = (
            row + (shape[2] - 1) * windows.stride[0] + 1,
            column + (shape[3] - 1) * windows.stride[1] + 1,
        )
        limits = [(row, column), ends, (2, 3), windows.stride]
        values.append(chain.add("Slice", [x, *(chain.numbers(*pair) for pair in limits)], shape))
    return values


def first_maxima(
    graph: ir.Graph, windows: Windows, x: ir.Value
) -> tuple[list[ir.Node], list[ir.Value]]:
    """Make, for each place of a window in row-major order, the mask (N, C, h, w) of the windows
    whose first maximum is there.

    The values are compared with their own maximum, not with the pooled value: see
    docs/decisions/0004.
    """
    chain, shape = _Chain(graph), windows.pooled
    values = _window_values(chain, windows, x)
    largest = chain.add("Max", values, shape)
    masks = [chain.add("Equal", [values[0], largest], shape)]
    taken = masks[0]
    for value in values[1:]:
        equal, free = chain.add("Equal", [value, largest], shape), chain.add("Not", [taken], shape)
        masks.append(chain.add("And", [equal, free], shape))
        if value is not values[-1]:
            taken = chain.add("Or", [taken, masks[-1]], shape)
    return chain.nodes, masks


def unpool_nodes(
    graph: ir.Graph, windows: Windows, masks: list[ir.Value], values: ir.Value
) -> list[ir.Node]:
    """Make the nodes that put values (N, C, h, w) where the masks say, and add them up: each mask's
    share is a channel, and a transposed convolution with one-hot kernels moves it to its place.
    """
    chain, (n, c, h, w) = _Chain(graph), windows.pooled
    count = len(masks)
    zero = new_initializer(graph, np.zeros((), np.float32), "zero")
    shares = [
        chain.add(
            "Unsqueeze",
            [chain.add("Where", [m, values, zero], windows.pooled), chain.numbers(2)],
            (n, c, 1, h, w),
        )
        for m in masks
    ]
    stacked = chain.add("Concat", shares, (n, c, count, h, w), axis=2)
    flat = chain.add("Reshape", [stacked, chain.numbers(n, c * count, h, w)], (n, c * count, h, w))
    kernels = np.eye(count, dtype=np.float32).reshape(count, 1, *windows.kernel)
    weights = new_initializer(graph, np.tile(kernels, (c, 1, 1, 1)), "one_hot")
    after = windows.after
    chain.add(
        "ConvTranspose",
        [flat, weights],
        windows.full,
        group=c,
        strides=windows.stride,
        pads=(*windows.before, *(max(size, 0) for size in after)),
        output_padding=tuple(max(-size, 0) for size in after),
    )
    return chain.nodes
