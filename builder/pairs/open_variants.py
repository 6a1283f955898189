"""Variants whose engines are open."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ...engines.bundle import Bundle
from ...engines.engine import Engine
from ...pipeline.parallel_lines import reads_lines_in_parallel, recognizer_of_lines
from .built_variants import BuiltVariant
from .variants import Variant


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenVariant:
    """A variant whose engine is open. Two of them are never equal, so that they can be keys."""

    built: BuiltVariant
    engine: Engine

    @property
    def variant(self) -> Variant:
        """How it was built."""
        return self.built.variant

    @property
    def label(self) -> str:
        """The name of the variant, without that of its model."""
        return self.variant.label


def open_variants(built: Sequence[BuiltVariant], stack: ExitStack) -> list[OpenVariant]:
    """Open the engines of variants until ``stack`` closes them."""
    return [
        OpenVariant(built=each, engine=stack.enter_context(_engine(each.bundle))) for each in built
    ]


def _engine(bundle: Bundle) -> Engine:
    """Open a bundle as ``open_reader`` does for one image at a time."""
    parallel = bundle.spec.role == "recognizer" and reads_lines_in_parallel(bundle)
    return recognizer_of_lines(bundle) if parallel else Engine.from_bundle(bundle)


def exact_of(variants: Sequence[OpenVariant]) -> OpenVariant:
    """Return the exact variant, which a build cannot leave out."""
    return next(each for each in variants if each.variant.is_exact)
