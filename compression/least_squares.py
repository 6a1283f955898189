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
"""Values of r to choose from. If none of them helps, only the bias is fitted, or nothing."""


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
        moments: of the rows to fit.
        check: of rows of other images, which choose the ridge, and whether the layer changes at
            all; None: the largest ridge.
    """
    # (K, G * O) -> (G, K, O)
    old = layer.weights.astype(np.float64)
    old = old.reshape(len(old), layer.groups, -1).transpose(1, 0, 2)
    fit = _Fit(moments, old, centered=layer.can_shift)
    weights = fit.weights(RIDGES[-1])
    bias = fit.bias(weights)
    if check is not None:
        judge = _Fit(check, old, centered=layer.can_shift)
        found = [old, *(fit.weights(ridge) for ridge in RIDGES)]
        candidates = [(old, _bias_of(layer)), *((each, fit.bias(each)) for each in found)]
        weights, bias = min(candidates, key=lambda each: judge.error(*each))
    matrix = weights.transpose(1, 0, 2).reshape(layer.weights.shape)
    return matrix, bias.reshape(-1) if layer.can_shift else None


def _bias_of(layer: WeightedLayer) -> Matrix:
    """Return the bias of a layer, (G, 1, O)."""
    bias = layer.bias if layer.bias is not None else np.zeros(layer.outputs)
    return bias.astype(np.float64).reshape(layer.groups, 1, -1)


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

    def bias(self, weights: Matrix) -> Matrix:
        """Return the best bias for weights, (G, 1, O); 0 if the layer cannot have one."""
        return self.mean_y - self.mean_x @ weights

    def error(self, weights: Matrix, bias: Matrix) -> float:
        """Return the mean squared error of weights and a bias.

        Up to a constant: that of the old weights with the best bias is left out.
        """
        change = weights - self._old
        quadratic = np.sum(change * (self.covariance @ change - 2 * self.residual))
        return float(quadratic + np.square(self.bias(weights) - bias).sum())
