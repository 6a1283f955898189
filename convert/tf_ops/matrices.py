"""Matrices, and ops that reorder the axes of feature maps.

Einsum("biic->bc", x)   ->  Einsum("biic->bc") without the diagonal: x * eye, summed
MatrixSetDiag(x, d)     ->  Where(on the diagonal, d, x)
Cross(a, b)             ->  a_yzx b_zxy - a_zxy b_yzx
MatrixDeterminant(x)    ->  Laplace's expansion, up to 4 x 4
SpaceToBatch            ->  Pad, Reshape, Transpose, Reshape
"""

from __future__ import annotations

import itertools
import string

import numpy as np

from .emitter import Emitter, RefusalError, Rule, Tensor

_LARGEST_EXPANDED = 4
"""Rows of the largest matrix whose determinant is expanded; the terms grow as 2^n n."""


def _expanded(terms: list[str], ranks: list[int], result: str) -> tuple[list[str], str]:
    """Replace "..." by letters that the equation does not use."""
    free = [c for c in string.ascii_letters if c not in "".join([*terms, result])]
    count = max(r - len(t.replace("...", "")) for t, r in zip(terms, ranks, strict=True))
    letters = "".join(free[:count])
    found = []
    for term, rank in zip(terms, ranks, strict=True):
        own = rank - len(term.replace("...", ""))
        found.append(term.replace("...", letters[count - own :]))  # ellipses align at the right
    return found, result.replace("...", letters)


def _diagonal(x: Tensor, term: str) -> tuple[Tensor, str]:
    """Take the diagonal of the first letter that occurs twice."""
    letter = next(c for c in term if term.count(c) > 1)
    first = term.index(letter)
    second = term.index(letter, first + 1)
    size, rank = x.shape[first], x.rank
    order = [axis for axis in range(rank) if axis not in (first, second)]
    flat = x.transpose(*order, first, second)
    rest = tuple(x.shape[axis] for axis in order)
    # Element (i, i) of an n x n matrix is element i (n + 1) of its rows in one line.
    flat = flat.reshape(*rest, size * size)
    places = x.emit.constant(np.arange(size, dtype=np.int64) * (size + 1))
    return flat.take(places, -1), "".join(term[axis] for axis in order) + letter


def _einsum(e: Emitter) -> Tensor | None:
    """Rewrite equations with "..." or with a letter twice in one term; ONNX' targets lack them."""
    equation = str(e.attribute("equation")).replace(" ", "")
    left, _, result = equation.partition("->")
    terms = left.split(",")
    twice = any(t.count(c) > 1 for t in terms for c in t if c != ".")
    if not twice and "..." not in equation:
        return None
    inputs = [e[index] for index in range(len(e))]
    terms, result = _expanded(terms, [x.rank for x in inputs], result)
    for index, term in enumerate(terms):
        while len(set(term)) < len(term):
            inputs[index], term = _diagonal(inputs[index], term)
        terms[index] = term
    if len(terms) == 1:
        return _reordered(inputs[0], terms[0], result)
    return e.op("Einsum", *inputs, equation=f"{','.join(terms)}->{result}")


def _reordered(x: Tensor, term: str, result: str) -> Tensor:
    """Sum over the letters that the result lacks, and transpose."""
    gone = tuple(axis for axis, letter in enumerate(term) if letter not in result)
    if gone:
        x = x.emit.op("ReduceSum", x, gone, keepdims=0)
    kept = [letter for letter in term if letter in result]
    return x.transpose(*(kept.index(letter) for letter in result))


def _cross(e: Emitter) -> Tensor:
    def rolled(x: Tensor, *order: int) -> Tensor:
        return x.take(e.constant(np.array(order, np.int64)), -1)

    a, b = e[0], e[1]
    return rolled(a, 1, 2, 0) * rolled(b, 2, 0, 1) - rolled(a, 2, 0, 1) * rolled(b, 1, 2, 0)


def _diag(e: Emitter) -> Tensor:
    x, shape = e[0], e[0].shape
    size = int(np.prod(shape))
    eye = e.constant(np.eye(size, dtype=bool))
    return e.where(eye, x.reshape(size, 1), 0).reshape(*shape, *shape)


def _diag_part(e: Emitter) -> Tensor:
    shape = e[0].shape[: e[0].rank // 2]
    size = int(np.prod(shape))
    places = e.constant(np.arange(size, dtype=np.int64) * (size + 1))
    return e[0].reshape(size * size).take(places, 0).reshape(*shape)


def _set_diag(e: Emitter) -> Tensor:
    x, diagonal = e[0], e[1]
    bands = e.constant_input(2, "k").reshape(-1) if len(e) > 2 else np.zeros(1, int)
    if bands[0] != bands[-1]:
        raise RefusalError("it sets several diagonals at once; set one at a time")
    k, (rows, columns) = int(bands[0]), x.shape[-2:]
    mask = np.eye(rows, columns, k, dtype=bool)
    # Element i lies in row i for k >= 0, and in column i for k < 0: align it there.
    along = rows if k >= 0 else columns
    missing = along - diagonal.shape[-1]
    if missing:
        pads = (*[0] * diagonal.rank, *[0] * (diagonal.rank - 1), missing)
        diagonal = e.op("Pad", diagonal, pads)
    return e.where(e.constant(mask), diagonal.unsqueeze(-1 if k >= 0 else -2), x)


def _sparse_matmul(e: Emitter) -> Tensor:
    a = e[0].transpose(1, 0) if e.attribute("transpose_a", 0) else e[0]
    b = e[1].transpose(1, 0) if e.attribute("transpose_b", 0) else e[1]
    return a @ b


def _space_to_batch(e: Emitter) -> Tensor:
    block = int(e.attribute("block_size"))
    (top, bottom), (left, right) = e.constant_input(1, "paddings").tolist()
    x = e.op("Pad", e[0], (0, top, left, 0, 0, bottom, right, 0))
    n, h, w, c = x.shape
    x = x.reshape(n, h // block, block, w // block, block, c)
    return x.transpose(2, 4, 0, 1, 3, 5).reshape(n * block * block, h // block, w // block, c)


def _batch_to_space(e: Emitter) -> Tensor:
    block = int(e.attribute("block_size"))
    (top, bottom), (left, right) = e.constant_input(1, "crops").tolist()
    n, h, w, c = e[0].shape
    x = e[0].reshape(block, block, n // (block * block), h, w, c).transpose(2, 3, 0, 4, 1, 5)
    x = x.reshape(n // (block * block), h * block, w * block, c)
    return x.slice(1, top, h * block - bottom).slice(2, left, w * block - right)


def _reverse(e: Emitter) -> Tensor:
    x = e[0]
    for axis, is_reversed in enumerate(e.constant_input(1, "axes")):
        if is_reversed:
            x = x.slice(axis, -1, np.iinfo(np.int64).min, -1)
    return x


def _determinant(e: Emitter) -> Tensor | None:
    """Expand row by row: minors[c] is the determinant of the first rows and the columns c."""
    x = e[0]
    size = x.shape[-1]
    if size > _LARGEST_EXPANDED:
        return None

    def element(row: int, column: int) -> Tensor:
        return x.take(np.int64(row), -2).take(np.int64(column), -1)

    minors: dict[tuple[int, ...], Tensor] = {(c,): element(0, c) for c in range(size)}
    for row in range(1, size):
        above, minors = minors, {}
        for columns in itertools.combinations(range(size), row + 1):
            total: Tensor | None = None
            for place, column in enumerate(columns):
                rest = columns[:place] + columns[place + 1 :]
                term = element(row, column) * above[rest]
                # The sign of the element in the last row of a minor is (-1)^(row + place).
                term = -term if (row + place) % 2 else term
                total = term if total is None else total + term
            assert total is not None
            minors[columns] = total
    return minors[tuple(range(size))]


def _parallel_concat(e: Emitter) -> Tensor:
    return e.op("Concat", *(e[index] for index in range(len(e))), axis=0)


def _shape_n(e: Emitter) -> list[Tensor]:
    return [e.op("Shape", e[index]).cast(e.result_dtype(index)) for index in range(len(e))]


RULES: dict[str, Rule] = {
    "BatchToSpace": _batch_to_space,
    "Cross": _cross,
    "Diag": _diag,
    "DiagPart": _diag_part,
    "Einsum": _einsum,
    "MatrixSetDiag": _set_diag,
    "MatrixSetDiagV2": _set_diag,
    "MatrixSetDiagV3": _set_diag,
    "MatrixDeterminant": _determinant,
    "ParallelConcat": _parallel_concat,
    "Reverse": _reverse,
    "ShapeN": _shape_n,
    "SpaceToBatch": _space_to_batch,
    "SparseMatMul": _sparse_matmul,
}
