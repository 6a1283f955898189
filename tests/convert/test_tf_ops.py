"""Rules for single TensorFlow ops: each case equals TensorFlow on every runtime, or is refused."""

from __future__ import annotations

import pytest

pytest.importorskip("tensorflow")

from ocr_trt.convert.tf_ops.refused import reason_of
from ocr_trt.convert.tf_ops.rules import handlers

from ..op_cases import cases
from ..ops_table import DOCUMENT, rule_section
from ..tf_ops import REFUSED, examine, refusal

CASES = cases()
QUICK = (
    "expm1", "xlogy", "erfinv.positive", "floordiv.int", "floormod.int", "gfnet", "irfft.length",
    "fft2d", "complex.div", "complex.where", "fftshift", "extract_patches.SAME321",
    "extract_patches.VALID431", "dilation2d.stride.SAME", "conv_transpose.explicit",
    "crop_and_resize.extra", "crop_and_resize.same_nearest", "crop_and_resize.computed",
    "rgb_to_hsv", "adjust_saturation", "unsorted_segment_sum", "segment_max", "scatter_nd.data",
    "in_top_k", "searchsorted", "einsum.trace", "einsum.ellipsis", "set_diag", "cross",
    "projective_transform", "conv_transpose.gaps_first", "conv3d_transpose.gaps",
    "bias_add.second_axis", "argmax.keras", "conv_transpose.unknown_size",
    "conv.atrous_behind_pad", "conv.pad_and_explicit",
    "unsorted_segment_sum.row", "unsorted_segment_max.computed", "cumprod.both", "det.three",
)  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_rule_equals_tensorflow(name: str) -> None:
    assert examine(CASES[name], others=False) == ""


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(set(CASES) - set(REFUSED)))
def test_op_equals_tensorflow_on_every_runtime(name: str) -> None:
    assert examine(CASES[name], others=True, name=name) == ""


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_op_is_refused_by_name(name: str) -> None:
    assert REFUSED[name] in refusal(CASES[name])


def test_refusal_names_layer_reason_and_way_out() -> None:
    text = refusal(CASES["inverse"])
    for fact in ("MatrixInverse at MatrixInverse", "no linear algebra", "output.name"):
        assert fact in text
    # A rule states the reason itself, and tf2onnx's own handlers fail with theirs.
    text = refusal(CASES["projective_transform.wrap"])
    assert "fill_mode is WRAP" in text
    assert "REFLECT" in text


def test_op_on_quantized_integers_is_refused_by_name() -> None:
    text = refusal(CASES["quantize_v2"])
    for fact in ("QuantizeV2 at ", "Dequantize at ", "convert the float model"):
        assert fact in text


def test_computed_number_of_segments_is_refused_with_the_way_out() -> None:
    text = refusal(CASES["segment_max.computed"])
    assert "SegmentMax at SegmentMax" in text
    assert "unsorted_segment" in text


def test_op_inside_a_loop_body_is_refused_by_name() -> None:
    assert "MatrixSolve" in refusal(CASES["expm"])


def test_every_rule_is_a_handler_of_tf2onnx() -> None:
    found = handlers()
    assert {"RFFT2D", "ExtractImagePatches", "CropAndResize", "Expm1"} <= set(found)


@pytest.mark.parametrize("op", ["FractionalMaxPool", "Svd", "MaxPoolGrad", "DecodeJpeg", "PyFunc"])
def test_refused_ops_have_a_reason(op: str) -> None:
    reason = reason_of(op)
    assert reason is not None
    assert ":" in reason


def test_document_lists_every_rule() -> None:
    """The lists of the other ops depend on the installed versions, which the document states."""
    assert rule_section() in DOCUMENT.read_text("utf-8"), "run: python tests/ops_table.py"
