"""One graph for all input sizes: which graphs can be joined, and what the result computes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.convert.free_sizes import graph_at_size, joined_sizes
from ocr_trt.convert.graph import Graphs

HEAD = '<ir_version: 10, opset_import: ["" : 20]>'


def graph(body: str, width: int, frames: int, constants: str = "") -> onnx.ModelProto:
    """A graph (N, 3, 4, width) -> (N, frames, ...) of one width."""
    model = onnx.parser.parse_model(f"""{HEAD}
        agraph (float[N,3,4,{width}] x) => (float[N,{frames},12] y)
            <int64[2] ends = {{0, 1}} {constants}> {{ {body} }}""")
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model))
    return model


def reshaped(width: int) -> onnx.ModelProto:
    """Channels and rows become features, as before the head of a recognizer."""
    body = """
        t = Transpose <perm = [0, 3, 1, 2]> (x)
        r = Reshape(t, s)
        d = Reshape(r, heads)
        back = Reshape(d, joined)
        y = Softmax(back)"""
    constants = f""", int64[3] s = {{-1, {width}, 12}}, int64[4] heads = {{-1, {width}, 4, 3}},
        int64[3] joined = {{-1, {width}, 12}}"""
    return graph(body, width, width, constants)


def positioned(width: int) -> onnx.ModelProto:
    """The same with an embedding of each position."""
    body = """
        t = Transpose <perm = [0, 3, 1, 2]> (x)
        r = Reshape(t, s)
        p = Cast <to = 1> (steps)
        y = Add(r, p)"""
    steps = ", ".join(map(str, range(width)))
    constants = f", int64[3] s = {{-1, {width}, 12}}, int64[{width},1] steps = {{{steps}}}"
    return graph(body, width, width, constants)


def split(width: int) -> onnx.ModelProto:
    """Two axes that the width determines, and neither is one of the input."""
    body = """
        w = Reshape(x, s)
        t = Transpose <perm = [0, 2, 1, 3]> (w)
        y = Reshape(t, joined)"""
    constants = f""", int64[4] s = {{-1, {width // 4}, {width // 2}, {96 // width * 4}}},
        int64[3] joined = {{-1, {width}, 12}}"""
    return graph(body, width, width, constants)


def graphs(of: object, *widths: int) -> Graphs:
    assert callable(of)
    return {InputSize(4, width): of(width) for width in widths}


def result(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    return onnx_session(model).run(None, {"x": images})[0]


@pytest.mark.parametrize("width", [8, 12, 16, 40])
def test_joined_graph_computes_the_same_at_every_width(
    width: int, rng: np.random.Generator
) -> None:
    joined = joined_sizes(graphs(reshaped, 8, 16, 24))
    assert joined is not None
    images = rng.normal(size=(2, 3, 4, width)).astype(np.float32)
    expected = result(reshaped(width), images)
    assert result(joined, images) == pytest.approx(expected, abs=1e-6)
    fixed = graph_at_size(joined, InputSize(4, width))
    assert result(fixed, images) == pytest.approx(expected, abs=1e-6)
    shapes = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*fixed.graph.input, *fixed.graph.output)
    ]
    assert shapes == [["N", 3, 4, width], ["N", width, 12]]


@pytest.mark.parametrize("of", [positioned, split])
def test_graphs_that_differ_in_more_than_sizes_are_not_joined(of: object) -> None:
    assert joined_sizes(graphs(of, 8, 16)) is None


def test_one_graph_does_not_show_what_depends_on_its_size() -> None:
    assert joined_sizes(graphs(reshaped, 8)) is None


def test_recurrent_graphs_keep_their_sizes() -> None:
    model = onnx.parser.parse_model(f"""{HEAD}
        agraph (float[1,1,4,8] x) => (float[8,1,1,2] y)
            <int64[1] one = {{1}}, float[1,8,4] w, float[1,8,2] r> {{
            s = Squeeze(x, one)
            t = Transpose <perm = [2, 0, 1]> (s)
            y, h, c = LSTM <hidden_size = 2> (t, w, r)
        }}""")
    shapes = {"w": (1, 8, 4), "r": (1, 8, 2)}
    for each in model.graph.initializer:
        if each.name in shapes:
            each.CopyFrom(onnx.numpy_helper.from_array(np.ones(shapes[each.name], "f4"), each.name))
    assert joined_sizes({InputSize(4, 8): model, InputSize(4, 16): model}) is None


def test_graph_of_one_size_stays() -> None:
    model = reshaped(8)
    assert graph_at_size(model, InputSize(4, 8)) is model
