"""Counts and lengths that a model computes in integers, in OpenVINO."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.engines.targets import backend

TEXT = """
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[3,6,4] x) => (float[{shape}] y)
    <float half = {{0.5}}, {type} three = {{3}}>
    {{
        p = Greater(x, half)
        i = Cast <to = {to}> (p)
        s = {op} <keepdims = 0> (i, axes)
        n = {behind}
        y = Cast <to = 1> (n)
    }}
"""
LOOP = """
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[3,6,4] x) => (float[3] y)
    <float half = {0.5}, int64 three = {3}, bool go = {1}, int64[3] zero = {0, 0, 0}>
    {
        p = Greater(x, half)
        i = Cast <to = 7> (p)
        n = Loop (three, go, zero) <body = g (int64 t, bool more, int64[3] a)
            => (bool o, int64[3] b) {
            o = Identity(more)
            k = Constant <value_int = 3> ()
            both = Constant <value_ints = [1, 2]> ()
            s = ReduceSum <keepdims = 0> (i, both)
            m = Mul(s, k)
            b = Add(a, m)
        }>
        y = Cast <to = 1> (n)
    }
"""


def check_equal(text: str, axes: list[int], rng: np.random.Generator) -> None:
    import openvino as ov

    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(axes), "axes"))
    model = onnx.shape_inference.infer_shapes(model)
    x = rng.normal(1, 1, (3, 6, 4)).astype(np.float32)
    expected = onnx_session(model).run(None, {"x": x})[0]
    assert expected.any()
    read = backend("openvino")._read(model)  # type: ignore[attr-defined]
    found = ov.Core().compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([x])[0]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("behind", ["Add(s, three)", "Mul(s, three)", "Div(s, three)", "Neg(s)"])
@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax"])
@pytest.mark.parametrize(("axes", "shape"), [([1, 2], "3"), ([1], "3,4"), ([2], "3,6")])
def test_reductions_of_integers_equal_onnxruntime(
    behind: str, op: str, axes: list[int], shape: str, rng: np.random.Generator
) -> None:
    for kind, number in (("int32", 6), ("int64", 7)):
        text = TEXT.format(shape=shape, type=kind, to=number, op=op, behind=behind)
        if (op, behind) != ("ReduceMax", "Div(s, three)"):  # zeros prove nothing
            check_equal(text, axes, rng)


def test_reductions_in_loops(rng: np.random.Generator) -> None:
    check_equal(LOOP, [1, 2], rng)
