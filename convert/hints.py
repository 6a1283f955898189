"""What is known about a model before its draft: by the user and by its family."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..spec import SourceSpec
from .draft_inputs import Shape
from .preset import PresetRole


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What the user states about a model, in addition to its role."""

    source: SourceSpec
    """Path and format of the model."""
    input: tuple[str, Shape | None] | None = None
    """Name and shape of the image; None reads them from the signature."""
    mean: tuple[float, ...] = ()
    """See ``InputSpec``."""
    scale: tuple[float, ...] = ()
    """See ``InputSpec``."""
    charset: str | None = None
    """See ``RecognizerSpec``."""
    preset: PresetRole = field(default_factory=PresetRole)
    """What the model's family requires, where neither the user nor the model's files state it."""
