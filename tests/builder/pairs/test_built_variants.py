"""Variants that are built, and those that are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ocr_trt.builder import BuildRequest, build
from ocr_trt.builder.pairs import built_variants as module
from ocr_trt.builder.pairs.built_variants import build_variants
from ocr_trt.builder.pairs.variants import Variant
from ocr_trt.builder.request import BuildResult
from ocr_trt.common.progress import Reporter, SilentReporter
from ocr_trt.engines.manifest import Compression
from ocr_trt.spec import DetectorSpec
from tests.builder.small_build import fp32_request


@pytest.mark.parametrize("dead", [0, 3])
def test_variant_that_compression_left_as_it_was_is_no_variant(
    dead: int, onnx_detector: DetectorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = fp32_request(onnx_detector, tmp_path)

    def compressed(request: BuildRequest, reporter: Reporter) -> Sequence[BuildResult]:
        (result,) = build(replace(request, compress=False), reporter)
        assert result.bundle is not None
        if not request.compress:
            return [result]
        # A search takes minutes, so its outcome is written here.
        compression = Compression(
            reason="nothing won: 1 %", images=4, data_sha256="", dead_channels=dead
        )
        manifest = result.bundle.manifest.model_copy(update={"compression": compression})
        return [replace(result, bundle=replace(result.bundle, manifest=manifest))]

    monkeypatch.setattr(module, "build", compressed)
    variants = [
        Variant(way="fp32", request=base),
        Variant(way="fp32, compressed", request=replace(base, compress=True)),
    ]
    result = build_variants(variants, SilentReporter())
    built, failed = [each.label for each in result.built], [each.error for each in result.failed]
    if dead:
        assert (built, failed) == (["fp32", "fp32, compressed"], [])
    else:
        assert (built, failed) == (["fp32"], ["nothing won: 1 %"])
