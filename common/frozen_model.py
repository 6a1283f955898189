"""The base of all data that is read from or written to files: immutable and without NaN."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A pydantic model whose instances never change.

    NaN and infinity are refused because JSON has neither. A string below a field becomes its
    description in the JSON Schema.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class StrictModel(FrozenModel):
    """A frozen model that refuses unknown fields: for files that people write or move around."""

    model_config = ConfigDict(extra="forbid")
