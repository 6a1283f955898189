"""Fourier transforms as products with constant matrices.

    FFT along the last axis    ->  z @ W,        W[n, k] = exp(-2 pi i n k / N)
    FFT along another axis     ->  W^T @ z       on a view in which that axis is the last but one
    RFFT(x)                    ->  x @ (cos, -sin), for the first N / 2 + 1 frequencies
    IRFFT(x + i y)             ->  x @ A + y @ B

N log N would be less work, but ONNX' DFT runs on no GPU target, and the axes of feature maps are
short. A transform of another length than the axis crops it or adds zeros: rows of W.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .complex_numbers import ComplexRule, Pair, Pairs, _sum
from .emitter import Emitter, RefusalError, Tensor

_LARGEST = 4096
"""Longest axis: its matrices have 2 * 4096^2 numbers."""


def _waves(size: int, length: int, count: int, sign: int) -> npt.NDArray[np.complex128]:
    """Return W (size, count) for a transform of ``length`` of an axis of ``size``."""
    if max(size, length) > _LARGEST:
        raise RefusalError(
            f"its axis has {length} values; at most {_LARGEST} are supported; shorten it"
        )
    # k n modulo the length keeps the angle, and its cosine, exact for large k n.
    turns = np.outer(np.arange(size), np.arange(count)) % length / length
    matrix = np.exp(sign * 2j * np.pi * turns)
    matrix[length:] = 0  # values beyond the length are cropped
    return matrix


def _along(z: Pair, axis: int, matrix: npt.NDArray) -> Pair:
    """Multiply an axis (negative) of z, of size n, by a complex matrix (n, m)."""
    e, dtype = z.real.emit, z.real.dtype
    shape = z.real.shape
    behind = int(np.prod(shape[len(shape) + axis + 1 :], dtype=np.int64))
    ahead = shape[: len(shape) + axis]

    def product(x: Tensor | None, part: npt.NDArray) -> Tensor | None:
        if x is None or not np.any(part):
            return None
        if axis == -1:
            return x @ e.constant(part.astype(dtype))
        view = x.reshape(*ahead, shape[axis], behind)
        return e.constant(part.T.astype(dtype)) @ view  # (m, n) @ (..., n, behind)

    cos, sin = matrix.real, matrix.imag
    real = _sum(product(z.real, cos), product(z.imag, sin), "Sub")
    imag = _sum(product(z.real, sin), product(z.imag, cos))
    assert real is not None
    final = (*ahead, matrix.shape[1], *shape[len(shape) + axis + 1 :])
    if axis != -1:
        real, imag = real.reshape(*final), None if imag is None else imag.reshape(*final)
    return Pair(real=real, imag=imag)


def _fft(rank: int, sign: int) -> ComplexRule:
    def rule(e: Emitter, pairs: Pairs) -> Pair:
        z = pairs.of(e[0])
        for axis in range(-1, -rank - 1, -1):
            n = z.real.shape[axis]
            matrix = _waves(n, n, n, sign)
            z = _along(z, axis, matrix / n if sign > 0 else matrix)
        return z

    return rule


def _lengths(e: Emitter, rank: int, *, is_result: bool = False) -> list[int]:
    """Return the lengths of the transforms; those of an inverse are those of its result."""
    result = e.result_shape()
    if is_result and result is not None:
        return list(result[-rank:])
    return [int(n) for n in e.constant_input(1, "length").reshape(-1)[-rank:]]


def _rfft(rank: int) -> ComplexRule:
    def rule(e: Emitter, pairs: Pairs) -> Pair:
        z, lengths = pairs.of(e[0]), _lengths(e, rank)
        for axis in range(-1, -rank - 1, -1):
            n, length = z.real.shape[axis], lengths[axis]
            z = _along(z, axis, _waves(n, length, length // 2 + 1 if axis == -1 else length, -1))
        return z

    return rule


def _irfft(rank: int) -> ComplexRule:
    def rule(e: Emitter, pairs: Pairs) -> Tensor:
        z, lengths = pairs.of(e[0]), _lengths(e, rank, is_result=True)
        for axis in range(-rank, -1):
            n, length = z.real.shape[axis], lengths[axis]
            z = _along(z, axis, _waves(n, length, length, 1) / length)
        n, length = z.real.shape[-1], lengths[-1]
        waves = _waves(n, length, length, 1) / length
        # The missing frequencies are the conjugates of these, except for the first and the middle.
        weights = np.full(n, 2.0)
        weights[0] = 1.0
        weights[length // 2 + 1 :] = 0.0
        if length % 2 == 0 and length // 2 < n:
            weights[length // 2] = 1.0
        waves *= weights[:, None]
        dtype = z.real.dtype
        result = z.real @ e.constant(waves.real.astype(dtype))
        if z.imag is None:
            return result
        return result - z.imag @ e.constant(waves.imag.astype(dtype))

    return rule


FOURIER_RULES: dict[str, ComplexRule] = {
    **{f"FFT{name}": _fft(rank, -1) for rank, name in ((1, ""), (2, "2D"), (3, "3D"))},
    **{f"IFFT{name}": _fft(rank, 1) for rank, name in ((1, ""), (2, "2D"), (3, "3D"))},
    **{f"RFFT{name}": _rfft(rank) for rank, name in ((1, ""), (2, "2D"), (3, "3D"))},
    **{f"IRFFT{name}": _irfft(rank) for rank, name in ((1, ""), (2, "2D"), (3, "3D"))},
}
