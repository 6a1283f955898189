"""Ops that choose, add or sort values by index.

    ScatterNd(i, u), duplicates  ->  M @ u                                       constant indices
    TensorScatterAdd(x, i, u)    ->  x + M @ u
    InTopK(p, t, k)              ->  how many of p are greater than p[t], < k
    LowerBound(sorted, v)        ->  how many of ``sorted`` are less than v
    Cumprod(x)                   ->  x * (x moved by 1), then by 2, 4, 8, ...: log2(n) products

tf2onnx overwrites duplicates where TensorFlow adds them, and writes a cumulative product as a loop.
GPU targets run no ScatterND that adds; a product with a constant matrix runs everywhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .emitter import Emitter, RefusalError, Rule, Tensor

LARGEST = 1 << 22
"""Numbers in the largest matrix that replaces a scatter."""


def numbers_in(shape: tuple[int, ...]) -> int:
    """Return how many numbers a tensor of a shape has."""
    return int(np.prod(shape, dtype=np.int64))


def combined(x: Tensor, matrix: npt.NDArray, shape: tuple[int, ...]) -> Tensor:
    """Return the linear combinations of the rows of x (n, ...) by a matrix (m, n), as ``shape``."""
    count = matrix.shape[1]
    dtype = x.dtype
    # Integers below 2^24 are exact in float32; GPU targets multiply no integer matrices.
    rows = x.cast(np.float32) if dtype.kind in "iu" else x
    rows = rows.reshape(count, numbers_in(x.shape) // max(count, 1))
    result = x.emit.constant(matrix.astype(rows.dtype)) @ rows
    return result.reshape(*shape).cast(dtype)


def members(ids: npt.NDArray, segments: int) -> npt.NDArray:
    """Return M (segments, n); negative ids belong to no segment."""
    return (np.arange(segments)[:, None] == ids[None]).astype(np.float64)


def _flat_places(indices: npt.NDArray, shape: tuple[int, ...]) -> npt.NDArray:
    """Return indices (..., depth) into the first axes of ``shape`` as flat row numbers."""
    depth = indices.shape[-1]
    flat = indices.reshape(-1, depth)
    if not depth:
        return np.zeros(len(flat), np.int64)
    return np.ravel_multi_index(tuple(flat.T), shape[:depth], mode="wrap")


def _added(e: Emitter, updates: Tensor, indices: npt.NDArray, shape: tuple[int, ...]) -> Tensor:
    """Return zeros of ``shape`` to which the updates are added at constant indices."""
    depth = indices.shape[-1]
    places = _flat_places(indices, shape)
    matrix = members(places, numbers_in(shape[:depth]))
    rows = updates.reshape(len(places), *shape[depth:])
    return combined(rows, matrix, shape)


def _scatter_nd(e: Emitter) -> Tensor | None:
    indices, shape = e[0].value, e.result_shape()
    if indices is None or shape is None:
        # Places that occur twice are added; raise_max_unpool replaces the scatter of an unpooling.
        zeros = e.op("Expand", e.constant(np.zeros((), e[1].dtype)), e[2].cast(np.int64))
        return e.op("ScatterND", zeros, e[0].cast(np.int64), e[1], reduction="add")
    places = _flat_places(indices, shape)
    if len(np.unique(places)) == len(places):
        return None
    if len(places) * numbers_in(shape[: indices.shape[-1]]) > LARGEST:
        raise RefusalError("it adds too many values to the same places; use matrix products")
    return _added(e, e[1], indices, shape)


def _tensor_scatter(sign: int) -> Rule:
    def rule(e: Emitter) -> Tensor | None:
        indices = e[1].value
        if indices is None or e[0].dtype.kind != "f":
            return None
        shape = e[0].shape
        if len(_flat_places(indices, shape)) * numbers_in(shape[: indices.shape[-1]]) > LARGEST:
            return None
        added = _added(e, e[2], indices, shape)
        return e[0] + added if sign > 0 else e[0] - added

    return rule


def _in_top_k(e: Emitter) -> Tensor:
    predictions, targets = e[0], e[1]
    k = e.attribute("k") if len(e) == 2 else int(e.constant_input(2, "k"))
    chosen = e.op("GatherElements", predictions, targets.unsqueeze(1), axis=1)  # (B, 1)
    above = (predictions > chosen).cast(np.int64)
    return e.op("ReduceSum", above, (1,), keepdims=0) < int(k)


def _nth_element(e: Emitter) -> Tensor:
    n = int(e.constant_input(1, "n"))
    values, _ = e.ops("TopK", e[0], (n + 1,), count=2, largest=int(e.attribute("reverse", 0)))
    return values.slice(-1, n, n + 1).squeeze(-1)


def _approx_top_k(e: Emitter) -> list[Tensor]:
    axis, largest = e.attribute("reduction_dimension", -1), int(e.attribute("is_max_k", 1))
    values, places = e.ops(
        "TopK", e[0], (int(e.attribute("k")),), count=2, axis=axis, largest=largest
    )
    return [values, places.cast(np.int32)]


def _top_k(e: Emitter) -> list[Tensor]:
    values, places = e.ops("TopK", e[0], (int(e.attribute("k")),), count=2)
    return [values, places.cast(np.int32)]


def _bound(comparison: str) -> Rule:
    def rule(e: Emitter) -> Tensor:
        rows, values = e[0].unsqueeze(1), e[1].unsqueeze(2)  # (B, 1, S) and (B, V, 1)
        below = e.op(comparison, rows, values).cast(np.int64)
        return e.op("ReduceSum", below, (2,), keepdims=0).cast(e.result_dtype())

    return rule


def _reverse_sequence(e: Emitter) -> Tensor | None:
    batch, time = int(e.attribute("batch_dim", 0)), int(e.attribute("seq_dim"))
    if {batch, time} == {0, 1}:
        return None
    rest = [axis for axis in range(e[0].rank) if axis not in (batch, time)]
    perm = (batch, time, *rest)
    moved = e.op(
        "ReverseSequence", e[0].transpose(*perm), e[1].cast(np.int64), batch_axis=0, time_axis=1
    )
    return moved.transpose(*(int(axis) for axis in np.argsort(perm)))


def _cumulative_logsumexp(e: Emitter) -> Tensor:
    x, axis = e[0], int(e.constant_input(1, "axis")) % e[0].rank
    if e.attribute("exclusive", 0):
        raise RefusalError("exclusive sums of exponentials begin with -inf; use exclusive=False")
    size, rank = x.shape[axis], x.rank
    later = np.tri(size, dtype=bool) if not e.attribute("reverse", 0) else np.tri(size).T > 0
    # (..., n, 1 ...) -> one row of the n x n table for each result: the terms that it sums.
    table = x.unsqueeze(axis)  # (..., 1, n, ...)
    mask = later.reshape([1] * axis + [size, size] + [1] * (rank - axis - 1))
    table = e.where(e.constant(mask), table, float("-inf"))
    return e.op("ReduceLogSumExp", table, (axis + 1,), keepdims=0)


def _cumprod(e: Emitter) -> Tensor:
    """Multiply by copies moved by 1, 2, 4, ... places along the axis (Hillis and Steele)."""
    x, axis = e[0], int(e.constant_input(1, "axis")) % e[0].rank
    size, is_reversed = x.shape[axis], bool(e.attribute("reverse", 0))
    one = e.constant(np.ones((), x.dtype))

    def moved(values: Tensor, by: int) -> Tensor:
        """Return the values with ones in front, or behind if the product goes backward."""
        ahead = tuple(by if i == axis and not is_reversed else 0 for i in range(x.rank))
        after = tuple(by if i == axis and is_reversed else 0 for i in range(x.rank))
        padded = e.op("Pad", values, (*ahead, *after), one)
        return padded.slice(axis, by, by + size) if is_reversed else padded.slice(axis, 0, size)

    if e.attribute("exclusive", 0):
        x = moved(x, 1)
    by = 1
    while by < size:
        x, by = x * moved(x, by), 2 * by
    return x


def _sparse_to_dense(e: Emitter) -> Tensor:
    indices = e.constant_input(0, "indices").astype(np.int64)
    shape = tuple(int(n) for n in e.constant_input(1, "shape"))
    indices = indices.reshape(-1, len(shape))
    filled = e.op("Expand", e[3], shape)
    return e.op("ScatterND", filled, e.constant(indices), e.op("Expand", e[2], (len(indices),)))


RULES: dict[str, Rule] = {
    "ApproxTopK": _approx_top_k,
    "Cumprod": _cumprod,
    "CumulativeLogsumexp": _cumulative_logsumexp,
    "InTopK": _in_top_k,
    "InTopKV2": _in_top_k,
    "LowerBound": _bound("Less"),
    "NthElement": _nth_element,
    "ReverseSequence": _reverse_sequence,
    "ScatterNd": _scatter_nd,
    "SparseToDense": _sparse_to_dense,
    "TensorScatterAdd": _tensor_scatter(1),
    "TensorScatterSub": _tensor_scatter(-1),
    "TopK": _top_k,
    "UpperBound": _bound("LessOrEqual"),
}
