"""What targets require of int8 graphs.

The module has no heavy imports, because programs that only run engines import it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FallbackPrecision = Literal["fp32", "fp16", "bf16"]
"""Precision of the ops that do not run in int8."""


@dataclass(frozen=True, kw_only=True)
class Int8Style:
    """The properties of an int8 graph that depend on the target."""

    largest_weight: int = 127
    """Largest |int8 weight|; 63 for processors that add two products in 16 bits."""
    shares_scales: bool = False
    """Give all tensors of a Concat one scale, so that the Concat does not round again."""
    everywhere: bool = False
    """Quantize also the first layer, the layer that computes the output, and small products."""
    products: bool = True
    """Quantize matrix products too. Without int8 instructions they are slower than in float."""
    rounds_skips: bool = False
    """Let a residual sum read the rounded skip tensor, so that a target can fuse it."""
