"""What specs of all roles have: version, name, source, input; and the accuracy budget."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..common.frozen_model import StrictModel
from .input_spec import InputSpec
from .source_spec import SourceSpec


class AccuracyBudget(StrictModel):
    """How much less accurate an engine may be than the model that it was built from."""

    max_loss: float = Field(0.5, ge=0, le=100)
    """Points (1/100) of hmean for a detector, of CER for a recognizer."""
    max_difference: float = Field(1e-3, gt=0)
    """Largest absolute difference of an output, for fp32 engines."""


class CommonSpec(StrictModel):
    """The keys that the specs of all roles have."""

    version: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    source: SourceSpec
    input: InputSpec
