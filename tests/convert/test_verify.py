"""verify: which pass changed the numbers, and at which value."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from ocr_trt.convert import pipeline
from ocr_trt.convert.outcome import Outcome
from ocr_trt.convert.passes.raise_norms import raise_norms
from ocr_trt.convert.sources import open_source
from ocr_trt.convert.verify import verify
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.spec import DetectorSpec, RecognizerSpec

pytest.importorskip("tensorflow")


def spoil(model: ir.Model) -> Outcome:
    """Halve the weights of the second convolution."""
    second = [n for n in model.graph if n.op_type == "Conv"][1]
    weights = second.inputs[1]
    assert weights is not None
    assert weights.const_value is not None
    weights.const_value = ir.tensor(weights.const_value.numpy() * np.float32(0.5))
    return Outcome(changed=1)


@pytest.mark.parametrize("role", ["detector", "recognizer"])
def test_every_pass_keeps_the_numbers(
    role: str, detector_spec: DetectorSpec, recognizer_spec: RecognizerSpec
) -> None:
    spec = detector_spec if role == "detector" else recognizer_spec
    source = open_source(spec.source)
    checks = verify(source, spec, baseline_runner(source, spec).run)
    assert checks[0].name == "export"
    assert checks[-1].name == "name_values"
    assert max(check.difference for check in checks) < 1e-5


def test_first_wrong_pass_and_value_are_named(
    detector_spec: DetectorSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = pipeline.PASSES.index(raise_norms)
    passes = (*pipeline.PASSES[:place], spoil, *pipeline.PASSES[place:])
    monkeypatch.setattr(pipeline, "PASSES", passes)
    source = open_source(detector_spec.source)
    limit = detector_spec.accuracy.max_difference
    checks = verify(source, detector_spec, baseline_runner(source, detector_spec).run)
    wrong = [check for check in checks if check.difference > limit]
    assert wrong[0].name == "spoil"
    assert wrong[0].value
    assert "/re_lu_1" in wrong[0].node, "tf2onnx renames what it joins with a batch norm"
    assert checks.index(wrong[0]) == [check.name for check in checks].index("spoil")
    assert all(check.value == "" for check in checks if check is not wrong[0])
