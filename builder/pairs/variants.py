"""Variants of one model: the requests of the builds that a pair may be chosen from.

The first stage varies how the model is computed, at the input sizes of its spec. The second stage
varies the input sizes, only for the ways that the first stage left on the front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...engines.base import BuildSettings
from ...engines.target_groups import target_groups
from ...errors import UserError
from ...spec import ModelSpec
from ..request import BuildRequest

_WAYS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("fp32", {"precision": "fp32"}),
    ("int8", {"precision": "int8"}),
    ("bf16", {"precision": "bf16"}),
    ("fp16", {"precision": "fp16"}),
)
"""Ways to compute a model: a label, and the fields of ``BuildRequest`` that differ. The first one
is the closest to the model itself. Another kind of build is another line here."""
_COMPRESSED: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("int8, compressed", {"precision": "int8", "compress": True}),
    ("bf16, compressed", {"precision": "bf16", "compress": True}),
)
"""Ways with a smaller network. Each build searches for minutes how much of a network its own budget
lets it remove."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to build a model."""

    way: str
    """How it is computed: a label of ``_WAYS``."""
    request: BuildRequest
    inputs: str = ""
    """How its input sizes differ from those of the spec; "" if they do not."""

    @property
    def label(self) -> str:
        """The name of the variant, without that of its model."""
        return f"{self.way}, {self.inputs}" if self.inputs else self.way

    @property
    def is_exact(self) -> bool:
        """Whether it computes as the model itself does, except for the order of the sums."""
        return self.way == _WAYS[0][0] and not self.inputs

    @property
    def is_default(self) -> bool:
        """Whether it is what ``ocr-trt build`` builds without options."""
        return self.way == "int8" and not self.inputs


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Other input sizes of a model, as a spec with them."""

    label: str
    spec: ModelSpec


def ways_of(base: BuildRequest, compressed: BuildRequest | None = None) -> list[Variant]:
    """Return the first stage: every way that a requested target supports, the exact one first.

    Args:
        base: has the spec, the images and the targets.
        compressed: the same with the budget that limits the compression; None: do not compress.
    """
    requests = [(way, fields, base) for way, fields in _WAYS]
    if compressed is not None:
        requests += [(way, fields, compressed) for way, fields in _COMPRESSED]
    return [
        Variant(way=way, request=replace(request, **fields))
        for way, fields, request in requests
        if _is_supported(request, fields)
    ]


def _is_supported(base: BuildRequest, fields: Mapping[str, Any]) -> bool:
    """Whether every requested target, or one of those that ``auto`` tries, supports a way."""
    precision = fields.get("precision", base.precision)
    try:
        groups = target_groups(base.targets, precision, BuildSettings())
    except UserError:  # the names of the targets were checked with the request
        return False
    # onnxruntime has few fp16 kernels for CPUs: most ops run in fp32, with casts around them.
    on_cpu = all(target.runs_on_cpu for group in groups for target in group.members)
    return precision != "fp16" or not on_cpu


def with_inputs(kept: Sequence[Variant], inputs: Sequence[Inputs]) -> list[Variant]:
    """Return the second stage: other input sizes, for the ways that the first stage left.

    The exact way is left out unless it is the only one: an engine that is slower and has a smaller
    input is beaten by one that computes faster. So are compressed ways, whose search would take
    minutes for each size.
    """
    plain = [each for each in kept if not each.request.compress]
    ways = [each for each in plain if not each.is_exact] or plain
    return [
        replace(each, request=_at_inputs(each.request, other.spec), inputs=other.label)
        for other in inputs
        for each in ways
    ]


def _at_inputs(request: BuildRequest, spec: ModelSpec) -> BuildRequest:
    """Return a request for other input sizes; calibration images are prepared for these."""
    accuracy = request.spec.accuracy
    own = spec.model_copy(update={"accuracy": accuracy})
    images = request.calibration
    return replace(request, spec=own, calibration=images and replace(images, spec=own))
