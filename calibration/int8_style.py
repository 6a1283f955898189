"""What targets want int8 and float graphs to be like; as light to import as engines that run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FallbackPrecision = Literal["fp32", "fp16", "bf16"]
"""Of the ops that do not run in int8."""


@dataclass(frozen=True, kw_only=True)
class Int8Style:
    """How int8 graphs differ between targets."""

    largest_weight: int = 127
    """In int8 steps; 63 for processors that add two products in 16 bits."""
    shares_scales: bool = False
    """Give what meets in a Concat one scale, so that it is joined without rounding again."""
    everywhere: bool = False
    """Also the first layer, the one that makes the output, and small products."""
    products: bool = True
    """Also matrix products, which are slower than in float where int8 has no instructions."""
    rounds_skips: bool = False
    """Let a residual sum read the rounded skip: convolution, sum and activation become one op."""
