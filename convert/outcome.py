"""What a pass reports: how much it changed, and which matches it left."""

from __future__ import annotations

from dataclasses import dataclass, field

from .float_types import FloatTypes


@dataclass(frozen=True, kw_only=True)
class Skip:
    """A match that was left: the value that it would have replaced, and why it did not."""

    value: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of one pass. ``changed`` counts rewrites (or removed nodes, for folding passes)."""

    changed: int
    skipped: tuple[Skip, ...] = field(default=())
    ranges: dict[str, float] = field(default_factory=dict)
    """The largest |x| of tensors as the model itself states it: ``remove_fake_quantization``."""
    float_types: FloatTypes = field(default_factory=FloatTypes)
    """What became float32: ``normalize_types``."""
