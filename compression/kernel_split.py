"""Approximate a kh x kw kernel by kh x 1 and 1 x kw, with the smallest error of the outputs.

With I inputs, O outputs and rank R, the weights W (I * kh * kw, O), read as (I * kh, kw * O),
become P Q with P (I * kh, R) and Q (R, kw * O). C is the covariance of the rows that the layer
reads. The error of the outputs is tr(D^T C D) with D = W - P Q as (I * kh * kw, O).

1. P = W V, where V holds the leading eigenvectors of W^T A W, and A (I * kh, I * kh) is the mean
   covariance of the columns of a window. This is exact if the columns are uncorrelated.
2. Q by least squares.
3. Twice: P by a few steps of conjugate gradients, then Q by least squares.

On the convolutions of a U-Net, step 1 with the mean covariance has an error on new images that is
8 to 20 % lower than with the variances alone, and step 3 lowers it by another 5 to 10 %.
"""

from __future__ import annotations

import numpy as np

from .layers import Matrix

_ROUNDS, _STEPS = 2, 5
"""More of them fit the noise of the samples."""
_RIDGE = 0.03
"""Part of the mean variance that is added to every variance: samples determine the covariance of
up to thousands of inputs only roughly."""


def split_kernel(weights: Matrix, covariance: Matrix, rank: int) -> tuple[Matrix, Matrix]:
    """Return P (I * kh, R) and Q (R, kw * O).

    Args:
        weights: (I, kh, kw, O).
        covariance: (I * kh * kw, I * kh * kw).
        rank: R.
    """
    inputs, height, width, outputs = weights.shape
    problem = _Split(weights, with_ridge(covariance, _RIDGE))
    mean = np.einsum(
        "iabjcb->iajc", problem.covariance.reshape(inputs, height, width, inputs, height, width)
    ).reshape(inputs * height, inputs * height)
    matrix = weights.reshape(inputs * height, width * outputs)
    first = matrix @ leading_vectors(matrix.T @ mean @ matrix, rank)[0]
    second = problem.second(first)
    for _ in range(_ROUNDS):
        first = problem.first(first, second)
        second = problem.second(first)
    # Each channel between the ops gets the variance 1, which suits one int8 range for all of them.
    deviations = np.sqrt(np.maximum(np.einsum("xr,xy,yr->r", first, mean, first) / width, 1e-30))
    return first / deviations, second * deviations[:, None]


def with_ridge(covariance: Matrix, ridge: float) -> Matrix:
    """Add a part of the mean variance to every variance; 1 if all are 0."""
    mean = float(np.trace(covariance)) / len(covariance)
    return covariance + (ridge * mean or 1.0) * np.eye(len(covariance))


def leading_vectors(matrix: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """Return the eigenvectors (n, count) of a symmetric matrix and their eigenvalues, falling."""
    values, vectors = np.linalg.eigh(matrix)  # ascending
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    # The sign of an eigenvector is arbitrary: fix it, so that libraries agree.
    return vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(count)]), values


class _Split:
    """Both least squares problems of one kernel."""

    def __init__(self, weights: Matrix, covariance: Matrix) -> None:
        inputs, height, self._width, self._outputs = weights.shape
        self._rows = inputs * height
        self.covariance = covariance  # (I * kh * kw, I * kh * kw)
        self._weights = weights.reshape(-1, self._outputs)  # (I * kh * kw, O)

    def second(self, first: Matrix) -> Matrix:
        """Return the best Q for a P."""
        rank, width = first.shape[1], self._width
        # The rows between the ops are z = x T, T (I * kh * kw, R * kw). Left is T^T C.
        left = first.T @ self.covariance.reshape(self._rows, -1)  # (R, kw * I * kh * kw)
        left = left.reshape(rank * width, self._rows, width)
        gram = np.einsum("nxb,xr->nrb", left, first, optimize=True).reshape(rank * width, -1)
        target = left.reshape(rank * width, -1) @ self._weights
        # Directions that the first op does not distinguish get no weight.
        return np.linalg.solve(with_ridge(gram, 1e-9), target).reshape(rank, -1)

    def first(self, first: Matrix, second: Matrix) -> Matrix:
        """Return a better P for a Q, by conjugate gradients from the old one."""
        residual = self._gradient(self._weights - self._product(first, second), second)
        found, direction, norm = first, residual, np.square(residual).sum()
        scale = np.square(self._gradient(self._weights, second)).sum()
        for _ in range(_STEPS):
            if norm <= 1e-20 * scale:  # exact already: full rank
                return found
            curved = self._gradient(self._product(direction, second), second)
            length = norm / np.sum(direction * curved)
            found = found + length * direction
            residual = residual - length * curved
            before, norm = norm, np.square(residual).sum()
            direction = residual + norm / before * direction
        return found

    def _product(self, first: Matrix, second: Matrix) -> Matrix:
        """(I * kh, R) and (R, kw * O) -> (I * kh * kw, O)."""
        return (first @ second).reshape(-1, self._outputs)

    def _gradient(self, change: Matrix, second: Matrix) -> Matrix:
        """Return how the error changes with P, (I * kh, R), for a change of W."""
        return (self.covariance @ change).reshape(self._rows, -1) @ second.T
