"""What a pass reports: how much it changed, and what it almost changed."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Skip:
    """A match that almost fired: the value it would have replaced, and why it did not."""

    value: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of one pass. ``changed`` counts rewrites (or removed nodes, for folding passes)."""

    changed: int
    skipped: tuple[Skip, ...] = field(default=())
    ranges: dict[str, float] = field(default_factory=dict)
    """The largest |x| of tensors that the model itself says, see ``remove_fake_quantization``."""
