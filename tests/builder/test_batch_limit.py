"""Builds of models that accept single images only, although the spec allows batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ocr_trt.builder import build
from ocr_trt.engines.build_cache import BuildCache
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.engine import Engine
from ocr_trt.spec import load_spec

from .small_build import LINE_WEIGHTS, LINES, fp32_request, small_recognizer_spec, write_model

FIXED = (
    LINES.replace("MatMul(h, w3)", "Reshape(r, back)")
    .replace("h = Relu(g1)", "h = Relu(g1) r = MatMul(h, w3)")
    .replace("{2}>", "{2}, int64[3] back = {1, -1, 96}>")
)
"""The recognizer, with a Reshape to batch 1."""


class Notes:
    """Keeps the notes of a build."""

    def __init__(self) -> None:
        from ocr_trt.common.progress import SilentReporter

        self.notes, self.step = list[str](), SilentReporter().step

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_bundle_states_that_it_accepts_single_images(tmp_path: Path) -> None:
    spec = small_recognizer_spec(tmp_path)
    write_model(tmp_path / "lines.onnx", text=FIXED, weights=LINE_WEIGHTS, scale=0.1)
    targets = ("openvino", "onnxruntime")
    request = replace(
        fp32_request(spec, tmp_path / "out", targets=targets),
        cache=BuildCache(folder=tmp_path / "cache", max_bytes=1 << 30),
    )
    reporter = Notes()
    results = [*build(request, reporter)]
    # From the cache: the copies are limited, too.
    results += build(replace(request, output=tmp_path / "again"))
    assert [bool(result.measured) for result in results] == [False, False, True, True]
    assert sum("one image at a time" in note for note in reporter.notes) == 1
    for result in results:
        assert result.error is None
        bundle = load_bundle(result.folder)
        assert bundle.spec.input.max_batch == 1
        assert load_spec(result.folder / "spec.yaml").input.max_batch == 1
        assert "logits: axis 1 of the output [1, 16, 96]" in bundle.manifest.batch_limit
        with Engine.from_bundle(bundle) as engine:
            for size in spec.input_sizes:
                shape = (1, 1, *size)
                assert len(engine.runner(size).run(np.zeros(shape, np.float32))) == 1
