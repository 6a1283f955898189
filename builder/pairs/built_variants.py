"""Build the variants of a model. Finished ones come from the build cache, so a run can be resumed.

A variant is not refused for its own loss: the budget is for the pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...calibration.images import CalibrationSet
from ...common.progress import Reporter
from ...engines.base import BuildSettings
from ...engines.bundle import Bundle
from ...errors import EngineBuildError, OcrTrtError
from ...ocr.dataset import Dataset
from ...spec import ModelSpec
from ..build import build
from ..request import BuildRequest
from .pair_request import PairRequest
from .variants import Variant

_ANY_LOSS = 100.0
"""With this budget, in points, a build refuses no engine."""


@dataclass(frozen=True, kw_only=True)
class BuiltVariant:
    """A variant and its bundle."""

    variant: Variant
    bundle: Bundle

    @property
    def label(self) -> str:
        """The name of the variant, without that of its model."""
        return self.variant.label


@dataclass(frozen=True, kw_only=True)
class FailedVariant:
    """A variant that cannot be built, or that was built without what distinguishes it."""

    variant: Variant
    error: str


@dataclass(frozen=True, kw_only=True)
class BuiltVariants:
    """Variants of one model."""

    built: list[BuiltVariant]
    failed: list[FailedVariant]


def base_request(
    request: PairRequest,
    spec: ModelSpec,
    samples: Dataset,
    calibration: CalibrationSet,
    output: Path,
) -> BuildRequest:
    """Return the build in fp32 that the variants of one model differ from.

    Args:
        request: the pair.
        spec: of the model.
        samples: the model's samples, on which its own verdict is measured.
        calibration: the model's calibration images.
        output: a scratch folder for the bundles.
    """
    accuracy = spec.accuracy.model_copy(update={"max_loss": _ANY_LOSS})
    return BuildRequest(
        spec=spec.model_copy(update={"accuracy": accuracy}),
        precision="fp32",
        output=output,
        targets=request.targets,
        calibration=calibration,
        samples=samples,
        settings=BuildSettings(max_batch=spec.input.max_batch),
        latency=request.build_latency,
        cache=request.cache,
    )


def build_variants(variants: Sequence[Variant], reporter: Reporter) -> BuiltVariants:
    """Build variants of one model; those that fail do not stop the others.

    Raises:
        OcrTrtError: the exact variant cannot be built.
    """
    built: list[BuiltVariant] = []
    failed: list[FailedVariant] = []
    for number, variant in enumerate(variants, 1):
        name = f"{variant.request.spec.name} {variant.label}"
        reporter.note(f"variant {number} of {len(variants)}: {name}")
        # Folders of their own, because variants with other input sizes have equal names.
        folder = variant.request.output / "".join(c if c.isalnum() else "-" for c in variant.label)
        try:
            bundle = _built(replace(variant.request, output=folder), reporter)
        except OcrTrtError as error:
            if variant.is_exact:
                raise
            reporter.note(f"{name} is left out: {error}")
            failed.append(FailedVariant(variant=variant, error=str(error)))
            continue
        built.append(BuiltVariant(variant=variant, bundle=bundle))
    return BuiltVariants(built=built, failed=failed)


def _built(request: BuildRequest, reporter: Reporter) -> Bundle:
    """Build one variant.

    Raises:
        OcrTrtError: it cannot be built, or it should be compressed, but nothing was won.
    """
    (result,) = build(request, reporter)
    if result.bundle is None:
        raise result.error or AssertionError("a result has a bundle or an error")
    compression = result.bundle.manifest.compression
    if request.compress and (compression is None or not compression.is_applied):
        # Its engine is that of the same variant without compression, under another name.
        raise EngineBuildError(compression.reason if compression else "it was not compressed")
    return result.bundle
