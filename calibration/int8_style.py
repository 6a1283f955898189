"""Requirements of targets on quantized graphs.

The module imports nothing heavy, because engines that only run import it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FallbackPrecision = Literal["fp32", "fp16", "bf16"]
"""Precision of the ops that do not run in int8."""


@dataclass(frozen=True, kw_only=True)
class Int8Style:
    """How int8 graphs differ between targets."""

    largest_weight: int = 127
    """Largest |int8 weight|; 63 for processors that add two products in 16 bits."""
    shares_scales: bool = False
    """Give all tensors of a Concat one scale, so that they are joined without rounding again."""
    everywhere: bool = False
    """Quantize also the first layer, the layer that computes the output, and small products."""
    products: bool = True
    """Quantize also matrix products. They are slower in int8 where it has no instructions."""
    rounds_skips: bool = False
    """Let a residual sum read the rounded skip: convolution, sum and activation become one op."""
