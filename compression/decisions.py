"""Decisions on how to make a graph smaller, and the graph that they lead to.

A decision names a layer or a group of channels and contains no weights, so that the same decisions
can be applied to the graphs of all input sizes, and kept in a manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import onnx
from pydantic import Field

from ..common.frozen_model import StrictModel


class Factor(StrictModel):
    """Replace a convolution or matrix product by two of lower rank.

    The result of the second op has the name of the original result.
    """

    kind: Literal["factor"] = "factor"
    layer: str
    """First output of the op in the original graph."""
    rank: int = Field(ge=1)
    """Channels between the two ops."""


class Prune(StrictModel):
    """Remove channels that several tensors share, because additions or skips connect them."""

    kind: Literal["prune"] = "prune"
    group: str
    """Name of the group: its first tensor in the order of the graph."""
    kept: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    """Indices of the channels that remain, in ascending order."""


Decision = Annotated[Factor | Prune, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True)
class SmallerGraph:
    """A graph after decisions were applied. Tensors keep the names of the original graph."""

    model: onnx.ModelProto
    channels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Tensors that lost channels: the channels of the original tensor that they still have.
    A tensor that is missing here has all of them, or is not in the original graph."""
