"""Sums, means, products, maxima and minima of the rows of each segment.

    SegmentSum(x, ids)          ->  M @ x,  M[s, i] = 1 where ids[i] = s         constant ids
    SegmentMax(x, ids)          ->  max over a table of the rows of each segment
    UnsortedSegmentSum(x, ids)  ->  M @ x,  M = Equal(ids, 0 .. n-1)             computed ids
    UnsortedSegmentMax(x, ids)  ->  max over Where(M, x, lowest)

Negative ids belong to no segment; tf2onnx, which converts the sums that spread values, counts them
from the end.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .emitter import Emitter, RefusalError, Rule, Tensor, UnknownError
from .indexing import LARGEST, combined, members, numbers_in


def _count(e: Emitter) -> int:
    """Return the number of segments."""
    shape = e.result_shape()
    return shape[0] if shape else int(e.constant_input(2, "number of segments"))


def _segments(e: Emitter) -> tuple[npt.NDArray, int, tuple[int, ...]] | None:
    """Return flat constant ids, the number of segments, the shape of a row; None: not constant."""
    ids = e[1].value
    if ids is None:
        return None
    count = _count(e) if len(e) > 2 else int(ids.max()) + 1
    return ids.reshape(-1), count, e[0].shape[ids.ndim :]


def _computed_members(e: Emitter, numbers: int) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Return M (segments, n) of computed ids, the flat rows (n, row), and the result's shape.

    ``numbers`` is how many numbers the rule needs for each element of M.
    """
    if len(e) < 3:
        raise RefusalError(
            "the number of its segments depends on the image; use the unsorted op "
            "(tf.math.unsorted_segment_sum, ...) with a constant number of segments"
        )
    count, size = _count(e), numbers_in(e[1].shape)
    # More segments than single numbers: this spreads values, as unpooling does, and adds up few of
    # them. tf2onnx writes a scatter, which is smaller and which ``raise_max_unpool`` recognizes.
    is_spread = count >= size and e[0].rank == e[1].rank
    if is_spread or count * size * numbers > LARGEST:
        raise UnknownError(
            f"it combines {size} rows in {count} segments, which is too large a table; use "
            "pooling or convolution"
        )
    row = e[0].shape[e[1].rank :]
    places = e.constant(np.arange(count, dtype=e[1].dtype)[:, None])  # (segments, 1)
    inside = e[1].reshape(1, size).equals(places)  # (segments, n)
    return inside, e[0].reshape(size, numbers_in(row)), (count, *row)


def _computed_sum(e: Emitter) -> Tensor:
    """Add by a one-hot matrix that is computed from the ids."""
    inside, rows, shape = _computed_members(e, 1)
    # Integers below 2^24 are exact in float32; GPU targets multiply no integer matrices.
    dtype = np.dtype(np.float32) if rows.dtype.kind in "iu" else rows.dtype
    return (inside.cast(dtype) @ rows.cast(dtype)).cast(e[0].dtype).reshape(*shape)


def _computed_reduction(e: Emitter, op: str, empty: float) -> Tensor:
    """Reduce a table (segments, n, row) in which ``empty`` replaces the rows of other segments."""
    row = numbers_in(e[0].shape[e[1].rank :])
    inside, rows, shape = _computed_members(e, row)
    table = e.where(inside.unsqueeze(2), rows.unsqueeze(0), empty)
    return e.op(f"Reduce{op}", table, (1,), keepdims=0).reshape(*shape)


def _segment_sum(e: Emitter, *, mean: bool = False) -> Tensor:
    if (found := _segments(e)) is None:
        return _computed_sum(e)  # the mean has no unsorted op, so its computed ids are refused
    ids, count, row = found
    matrix = members(ids, count)
    if mean:
        matrix /= np.maximum(matrix.sum(1, keepdims=True), 1)
    x = e[0].reshape(len(ids), *row)
    return combined(x, matrix, (count, *row))


def _segment_mean(e: Emitter) -> Tensor:
    return _segment_sum(e, mean=True)


def _segment_reduce(op: str, empty: Callable[[np.dtype, bool], float]) -> Rule:
    """Return the rule of a maximum, minimum or product.

    ``empty`` returns the value of a segment without rows, by dtype and by whether ids are sorted.
    """

    def rule(e: Emitter) -> Tensor:
        if (found := _segments(e)) is None:
            return _computed_reduction(e, op, empty(e[0].dtype, False))
        ids, count, row = found
        x, dtype = e[0].reshape(len(ids), *row), e[0].dtype
        longest = max(1, int(np.bincount(ids[ids >= 0], minlength=count).max(initial=0)))
        # Repeat a row to fill the table for a maximum; a product needs rows of ones.
        extra = e.constant(np.full((1, *row), empty(dtype, False), dtype))
        x = e.op("Concat", x, extra, axis=0)
        table = np.full((count, longest), len(ids), np.int64)
        for segment in range(count):
            rows = np.flatnonzero(ids == segment)
            table[segment, : len(rows)] = rows
        result = e.op(f"Reduce{op}", x.take(e.constant(table), 0), (1,), keepdims=0)
        is_empty = (table == len(ids)).all(1)
        if len(e) == 2 and is_empty.any():  # gaps between sorted segments have another value
            mask = e.constant(is_empty.reshape(-1, *[1] * len(row)))
            result = e.where(mask, empty(dtype, True), result)
        return result

    return rule


def _limit(dtype: np.dtype, name: str) -> float:
    info = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return float(getattr(info, name)) if dtype.kind == "f" else int(getattr(info, name))


RULES: dict[str, Rule] = {
    **{f"{prefix}SegmentSum": _segment_sum for prefix in ("", "Unsorted")},
    "SegmentMean": _segment_mean,
    "SegmentSumV2": _segment_sum,
    **{
        f"{prefix}Segment{name}{suffix}": rule
        for name, rule in (
            ("Max", _segment_reduce("Max", lambda d, s: 0 if s else _limit(d, "min"))),
            ("Min", _segment_reduce("Min", lambda d, s: 0 if s else _limit(d, "max"))),
            ("Prod", _segment_reduce("Prod", lambda d, s: 1)),
        )
        for prefix, suffix in (("", ""), ("Unsorted", ""), ("", "V2"))
    },
}
