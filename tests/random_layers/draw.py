"""Random choices, and the error of a layer that does not fit its input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
Layer = Callable[["Draw", Any], Any]
"""Takes a Keras tensor and returns one of the same rank; raises UnfitError or errors of Keras."""


class UnfitError(Exception):
    """A layer cannot follow this tensor; the model is built without it."""


class Draw:
    """Random choices that depend only on the seed."""

    def __init__(self, *seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def one(self, *options: T) -> T:
        """Return one of the arguments."""
        return options[int(self._rng.integers(len(options)))]

    def of(self, options: Sequence[T]) -> T:
        """Return one element."""
        return options[int(self._rng.integers(len(options)))]

    def int(self, low: int, high: int) -> int:
        """Return a number from ``low`` to ``high``, both included."""
        return int(self._rng.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        """Return True in this share of cases."""
        return bool(self._rng.random() < share)

    def activation(self) -> str | None:
        """Return an activation of a layer, or None in a third of cases."""
        if self.chance(0.33):
            return None
        return self.of(ACTIVATIONS)

    def divisor(self, number: int) -> int:
        """Return a number that divides ``number``."""
        return self.of([each for each in range(1, number + 1) if number % each == 0])


ACTIVATIONS = (
    *("relu", "relu", "relu", "relu6", "sigmoid", "tanh", "softplus", "softsign", "elu", "selu"),
    *("gelu", "silu", "hard_sigmoid", "hard_silu", "leaky_relu", "mish", "softmax", "log_sigmoid"),
    *("celu", "hard_tanh", "tanh_shrink", "soft_shrink", "hard_shrink", "squareplus", "glu"),
    *("sparse_plus", "sparse_sigmoid", "threshold", "sparsemax", "log_softmax", "linear"),
)


def known(*sizes: int | None) -> tuple[int, ...]:
    """Return sizes that must be known.

    Raises:
        UnfitError: one of them is free.
    """
    if any(size is None for size in sizes):
        raise UnfitError("a size is free")
    return tuple(size for size in sizes if size is not None)
