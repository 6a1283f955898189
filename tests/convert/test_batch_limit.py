"""Models that accept one batch size only: their graphs run single images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.convert import batch_checks
from ocr_trt.convert.passes.pad_batch import pad_batch
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.convert.verify import verify
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import BatchError, ConversionError, SpecError
from ocr_trt.spec import DetectorSpec, RecognizerSpec, spec_from_dict

from .helpers import check_does_not_fire, graph, run

HEAD = '<ir_version: 8, opset_import: ["" : 18]>'


def lines_spec(path: Path, body: str, *, batch: int, **entry: Any) -> RecognizerSpec | DetectorSpec:
    """Write a recognizer (batch, 1, 8, 12) -> (batch, 12, 11), and return its spec."""
    text = f"{HEAD} g (float[{batch},1,8,12] image) => (float[{batch},12,11] y) {{ {body} }}"
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.standard_normal((8, 11)).astype(np.float32),
        "columns": np.array([batch, 12, 8]),
        "rows": np.array([batch * 12, 8]),
        "back": np.array([batch, 12, 11]),
        "shift": rng.standard_normal((batch, 1, 1)).astype(np.float32),
    }
    for name, array in constants.items():
        if name in body:
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, path)
    return spec_from_dict(
        {
            "name": "lines", "role": "recognizer", "source": {"path": path},
            "charset": "0123456789", "output": {"name": "y"},
            "input": {
                "name": "image", "shape": [batch, 1, 8, 12], "layout": "NCHW", "color": "GRAY",
                "max_batch": 4, **entry,
            },
        }
    )  # fmt: skip


MOVED = "t = Transpose <perm = [0, 3, 1, 2]> (image)"
FIXED = f"{MOVED} c = Reshape(t, columns) y = MatMul(c, w)"
"""Its Reshape contains the batch size."""
SHIFTED = f"{MOVED} c = Reshape(t, columns) m = MatMul(c, w) y = Add(m, shift)"
"""Each image of the batch gets another constant."""


def check_single_images(spec: RecognizerSpec | DetectorSpec) -> str:
    """Convert, and compare with the source on one image; return the reason for the limit."""
    source = open_source(spec.source)
    found = convert(source, spec)
    image = np.random.default_rng(1).standard_normal((1, 1, 8, 12)).astype(np.float32)
    ours = runner_from_model(found.model, label="x", max_batch=1).run(image)
    theirs = baseline_runner(source, spec).run(image)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert found.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    return found.batch_limit


def test_reshape_to_batch_1_runs_single_images(tmp_path: Path) -> None:
    reason = check_single_images(lines_spec(tmp_path / "m.onnx", FIXED, batch=1))
    assert "does not run at batch size 2: it fails at Reshape" in reason


def test_own_batch_size_is_freed(tmp_path: Path) -> None:
    """Traced at batch 2, its Reshape fails; traced at its own batch size, it can be freed."""
    spec = lines_spec(tmp_path / "m.onnx", FIXED, batch=4)
    source = open_source(spec.source)
    found = convert(source, spec)
    assert found.batch_limit == ""
    images = np.random.default_rng(1).standard_normal((3, 1, 8, 12)).astype(np.float32)
    ours = runner_from_model(found.model, label="x", max_batch=4).run(images)
    baseline = baseline_runner(source, spec)
    assert "4 at a time" in baseline.label
    np.testing.assert_allclose(ours, baseline.run(images), atol=1e-5)


@pytest.mark.parametrize("max_batch", [1, 4])
def test_batch_that_cannot_be_freed_is_filled_with_copies(tmp_path: Path, max_batch: int) -> None:
    spec = lines_spec(tmp_path / "m.onnx", SHIFTED, batch=4, max_batch=max_batch)
    reason = check_single_images(spec)
    assert "batches of 4 images only" in reason
    assert "each image runs in a batch of 4 copies" in reason


def test_copies_of_one_image_must_fit_the_memory_but_no_larger_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its largest batch is 4, whatever the spec states; a graph that can be freed runs on 999."""
    monkeypatch.setattr("ocr_trt.convert.memory_limits.available_memory", lambda: 100_000)
    spec = lines_spec(tmp_path / "m.onnx", SHIFTED, batch=4, max_batch=999)
    assert "batches of 4 images only" in convert(open_source(spec.source), spec).batch_limit
    spec = lines_spec(tmp_path / "m.onnx", FIXED, batch=4, max_batch=999)
    with pytest.raises(SpecError, match=r"\[999, 1, 8, 12\].*input.max_batch"):
        convert(open_source(spec.source), spec)


def test_reason_of_tensorflow_names_the_node() -> None:
    text = "Cannot reshape a tensor with 8 elements for '{{node head/Reshape}} = Reshape[]'"
    error = batch_checks.trace_error(ConversionError(f"tf2onnx cannot convert: {text}"), 2)
    assert str(error) == "the model does not run at batch size 2: it fails at head/Reshape"
    assert "batches of 8 images only" in batch_checks.own_batch_only(error, 8)


def test_verify_follows_a_second_conversion(tmp_path: Path) -> None:
    for batch in (1, 4):
        spec = lines_spec(tmp_path / "m.onnx", SHIFTED if batch > 1 else FIXED, batch=batch)
        source = open_source(spec.source)
        checks = verify(source, spec, baseline_runner(source, spec).run)
        assert [check.name for check in checks].count("export") == 1
        assert checks[-1].name == "name_values"
        assert max(check.difference for check in checks) < 1e-5


def test_loop_without_an_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """agraph (float[2,3] x) => (float[2,3] y) {
        y = Loop (, yes, x) <body = step
            (int64 i, bool c, float[2,3] s) => (bool c2, float[2,3] s2) {
                c2 = Identity(c) s2 = Neg(s)
            }> }"""
    monkeypatch.setattr(batch_checks, "_SECONDS", 1)
    with pytest.raises(BatchError, match="at batch size 2: it does not end within 1 seconds"):
        batch_checks.check_batch(graph(text, yes=np.array(True)))


@pytest.mark.parametrize("max_batch", [1, 4])
def test_time_in_front_of_the_batch_is_refused(tmp_path: Path, max_batch: int) -> None:
    body = f"{FIXED.replace('y =', 's =')} y = Transpose <perm = [1, 0, 2]> (s)"
    spec = lines_spec(tmp_path / "m.onnx", body, batch=1, max_batch=max_batch)
    with pytest.raises(ConversionError, match=r"\[12, 1, 11\] for one image.*output.layout: TNC"):
        convert(open_source(spec.source), spec)


def test_result_of_the_first_copy_is_kept() -> None:
    text = "agraph (float[3,2] x) => (float[3,2] y) { y = Mul(x, w) }"
    w = np.arange(6, dtype=np.float32).reshape(3, 2)
    expected = run(graph(text, w=w))[0]
    model = graph(text, w=w)
    assert pad_batch(model).changed == 1
    onnx.checker.check_model(onnx.ModelProto.FromString(_bytes(model)), full_check=True)
    (result,) = run(model)
    np.testing.assert_allclose(result, expected[:1], atol=0)


def _bytes(model: Any) -> bytes:
    import onnx_ir as ir

    return ir.to_proto(model).SerializeToString()


def test_output_without_the_batch_is_left() -> None:
    text = "agraph (float[3,2] x) => (float[2] y) { a = ReduceSum<keepdims=0>(x, axis) y = Abs(a) }"
    outcome = check_does_not_fire(graph(text, axis=np.array([0])), pad_batch)
    assert "expected 3 images at its first axis" in outcome.skipped[0].reason
