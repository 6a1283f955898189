"""Fit the weights of one layer to results, by least squares with a ridge that the samples choose.

With rows x of the inputs and y of the results, the new weights W and the bias b minimize

    mean |x W + b - y|^2  +  r v |W - W0|^2

where W0 are the weights before and v is the mean variance of the inputs. With C the covariance of x
and D that of x with y, the bias follows exactly:

    W = W0 + (C + r v I)^-1 (D - C W0)        b = mean(y) - mean(x) W

A layer has up to thousands of weights for each output, and a few hundred rows of one image resemble
each other. So a small r fits the noise of the samples, and a large one corrects nothing. The error
on other images chooses r.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .layers import Matrix, WeightedLayer
from .samples import Rows

RIDGES = (1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Values of r to choose from. If none of them helps, only the bias is fitted."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Sums over rows, from which the best weights follow. G groups, K inputs, O outputs of each."""

    rows: int
    x: Matrix
    """Sum of the inputs, (G, 1, K)."""
    y: Matrix
    """Sum of the results, (G, 1, O)."""
    xx: Matrix
    """(G, K, K)."""
    xy: Matrix
    """(G, K, O)."""

    @classmethod
    def of(cls, inputs: Rows, outputs: Rows, groups: int) -> Moments:
        """Return the sums over rows (rows, G * K) and (rows, G * O), in float64."""
        x, y = (
            each.astype(np.float64).reshape(len(each), groups, -1).transpose(1, 0, 2)
            for each in (inputs, outputs)
        )
        across = x.transpose(0, 2, 1)
        return cls(
            rows=len(inputs),
            x=x.sum(1, keepdims=True),
            y=y.sum(1, keepdims=True),
            xx=across @ x,
            xy=across @ y,
        )

    def __add__(self, other: Moments) -> Moments:
        """Return the sums over the rows of both."""
        return Moments(
            rows=self.rows + other.rows,
            x=self.x + other.x,
            y=self.y + other.y,
            xx=self.xx + other.xx,
            xy=self.xy + other.xy,
        )


def fitted(
    layer: WeightedLayer, moments: Moments, check: Moments | None = None
) -> tuple[Matrix, Matrix | None]:
    """Return the best weights (in / groups * taps, out) and bias (out,) of a layer.

    The bias is None if the layer has none that can change. The squared error on the fitted rows
    never increases.

    Args:
        layer: with its weights before.
        moments: of the rows to fit. The results do not include the Add behind a MatMul.
        check: of rows of other images, which choose the ridge; None: the largest one.
    """
    # (K, G * O) -> (G, K, O)
    old = layer.weights.astype(np.float64)
    old = old.reshape(len(old), layer.groups, -1).transpose(1, 0, 2)
    fit = _Fit(moments, old, centered=layer.can_shift)
    weights = fit.weights(RIDGES[-1])
    if check is not None:
        judge = _Fit(check, old, centered=layer.can_shift)
        candidates = [old, *(fit.weights(ridge) for ridge in RIDGES)]
        weights = min(candidates, key=lambda each: fit.error_on(judge, each))
    matrix = weights.transpose(1, 0, 2).reshape(layer.weights.shape)
    if not layer.can_shift:
        return matrix, None
    bias = (fit.mean_y - fit.mean_x @ weights).reshape(-1)
    if layer.kind == "MatMul" and layer.bias is not None:
        bias = bias + layer.bias  # the op's result does not include it
    return matrix, bias


class _Fit:
    """A least squares problem of some rows."""

    def __init__(self, moments: Moments, old: Matrix, *, centered: bool) -> None:
        rows = moments.rows
        self.mean_x, self.mean_y = moments.x / rows, moments.y / rows  # (G, 1, K), (G, 1, O)
        if not centered:
            self.mean_x, self.mean_y = np.zeros_like(moments.x), np.zeros_like(moments.y)
        self._old, across = old, self.mean_x.transpose(0, 2, 1)
        self.covariance = moments.xx / rows - across @ self.mean_x
        self.residual = moments.xy / rows - across @ self.mean_y - self.covariance @ old
        variance = np.trace(self.covariance, axis1=1, axis2=2) / old.shape[1]
        # Inputs that are always 0 keep their weights.
        self._scale = np.where(variance > 0, variance, 1.0)[:, None, None] * np.eye(old.shape[1])

    def weights(self, ridge: float) -> Matrix:
        """Return the best weights (G, K, O)."""
        return self._old + np.linalg.solve(self.covariance + ridge * self._scale, self.residual)

    def error_on(self, other: _Fit, weights: Matrix) -> float:
        """Return the mean squared error of weights, with the bias of this fit, on other rows.

        Up to a constant: that of the old weights is left out.
        """
        change = weights - self._old
        quadratic = np.sum(change * (other.covariance @ change - 2 * other.residual))
        bias = self.mean_y - self.mean_x @ weights
        return float(quadratic + np.square(other.mean_y - other.mean_x @ weights - bias).sum())
