"""The float types in which a model computes, before it is converted to float32.

TensorFlow models can compute in float16 or bfloat16 (Keras' mixed-precision policies) or in
float64. Every converted graph is float32: constants keep the values that they have in their own
type, and all other tensors change their type. So the graph rounds less than a 16-bit model, and
more than a float64 model. A cast to 16 bits and back, which rounds on purpose, is removed as well:
it cannot be told from the casts of a mixed-precision policy.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

OTHER_FLOATS = ("float16", "bfloat16", "float64")
"""Float types other than float32, by NumPy's names."""
_COARSE = ("bfloat16", "float16")
"""Types with fewer digits than float32: 8 and 11 binary digits, of 24. The coarsest comes first."""


def as_float32(array: npt.NDArray) -> npt.NDArray[np.float32]:
    """Return the same numbers in float32.

    A finite number beyond its range becomes its largest number. Masks are such numbers: the lowest
    float64, times 0 where nothing is masked, must not become NaN.
    """
    largest = np.finfo(np.float32).max
    infinite = np.isinf(array)
    with np.errstate(over="ignore"):
        converted = array.astype(np.float32)
    return np.where(infinite, converted, np.clip(converted, -largest, largest))


@dataclass(frozen=True, kw_only=True)
class FloatTypes:
    """How much of a model has another float type than float32, by the name of the type."""

    results: Counter[str] = field(default_factory=Counter)
    """Numbers of results of ops, including casts."""
    constants: Counter[str] = field(default_factory=Counter)
    """Numbers of constants."""

    def __add__(self, other: FloatTypes) -> FloatTypes:
        """Add up the numbers."""
        return FloatTypes(
            results=self.results + other.results, constants=self.constants + other.constants
        )

    @property
    def total(self) -> int:
        """How many tensors have another type than float32."""
        return self.results.total() + self.constants.total()

    @property
    def names(self) -> tuple[str, ...]:
        """The types that occur."""
        return tuple(name for name in OTHER_FLOATS if self.results[name] or self.constants[name])

    @property
    def coarsest(self) -> str | None:
        """The type with the fewest digits in which an op computes; None if float32 has fewer."""
        return next((name for name in _COARSE if self.results[name]), None)

    def notes(self) -> tuple[str, ...]:
        """Describe what changed, one note per type."""
        return tuple(map(self._note, self.names))

    def _note(self, name: str) -> str:
        constants, results = self.constants[name], self.results[name]
        if name == "float64":
            effect = "float32 has 7 of their 16 decimal digits"
        elif results:
            effect = f"the model rounds its results to {name}, and the converted graph does not"
        else:
            effect = "their values stay the same"
        parts = [f"{constants} {name} constants"] if constants else []
        parts += [f"{results} {name} results"] if results else []
        return f"{' and '.join(parts)} became float32: {effect}"
