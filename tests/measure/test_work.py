"""FLOPs of graphs, compared with sums calculated by hand."""

from __future__ import annotations

import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from ocr_trt.convert.audit import node_flops
from ocr_trt.measure.work import graph_work


def work(inputs: str, body: str, *, constants: str = "", batch: int = 1) -> dict[str, int]:
    held = f"<{constants}>" if constants else ""
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 20]>
        agraph ({inputs}) => (float[] y) {held} {{ {body} }}
    """)
    for node in model.graph.node:
        node.name = node.output[0]
    found = graph_work(model, batch)
    assert found.uncounted == ()
    return dict(found.flops)


@pytest.mark.parametrize("batch", [1, 3])
def test_convolution_in_groups(batch: int) -> None:
    flops = work(
        "float[N,8,10,12] x, float[16,4,3,3] w",
        "c = Conv <pads = [1, 1, 1, 1], strides = [2, 2], group = 2> (x, w) y = Relu(c)",
        batch=batch,
    )
    # Each of 16 x 5 x 6 results sums 4 channels of its group over 3 x 3 places.
    assert flops == {"c": batch * 2 * (16 * 5 * 6) * (4 * 3 * 3), "y": 0}


@pytest.mark.parametrize("batch", [1, 3])
def test_transposed_convolution(batch: int) -> None:
    flops = work(
        "float[N,6,5,7] x, float[6,2,3,3] w",
        "y = ConvTranspose <strides = [2, 2]> (x, w)",
        batch=batch,
    )
    # Each of 6 x 5 x 7 values is added to 2 channels at 3 x 3 places.
    assert flops == {"y": batch * 2 * (6 * 5 * 7) * (2 * 3 * 3)}


def test_matrix_products() -> None:
    flops = work(
        "float[N,4,5,6] a, float[N,4,6,7] b, float[9,7] c, float[9,11] w",
        "m = MatMul(a, b) y = Gemm <transA = 1> (c, w)",
        batch=2,
    )
    assert flops == {"m": 2 * (2 * 4 * 5 * 7) * 6, "y": 2 * (7 * 11) * 9}


def test_einsum_with_and_without_broadcast_axes() -> None:
    flops = work(
        "float[N,4,5,6] a, float[1,4,6,7] b",
        'e = Einsum <equation = "nhij,mhjk->nmhik"> (a, b) '
        'f = Einsum <equation = "...ij, ...jk -> ...ik"> (a, b) '
        'y = Einsum <equation = "nhij->nhji"> (a)',
        batch=2,
    )
    product = 2 * (2 * 4 * 5 * 6 * 7)
    assert flops == {"e": product, "f": product, "y": 0}


def test_einsum_of_unknown_shapes_counts_nothing() -> None:
    node = ir.node("Einsum", [ir.Value(name="a"), ir.Value(name="b")], {"equation": "ij,jk->ik"})
    assert node_flops(node) == 0


@pytest.mark.parametrize("batch", [1, 3])
def test_lstm(batch: int) -> None:
    flops = work(
        f"float[10,{batch},6] x, float[2,32,6] w, float[2,32,8] r",
        'y = LSTM <hidden_size = 8, direction = "bidirectional"> (x, w, r)',
        batch=batch,
    )
    # Two directions, ten steps, four gates of 8 units each that see 6 inputs and 8 states.
    assert flops == {"y": batch * 2 * 2 * 10 * (4 * 8) * (6 + 8)}


def test_quantized_weights_and_a_free_batch_behind_a_reshape() -> None:
    flops = work(
        "float[N,4,8,8] x, int8[5,4,1,1] q, float[64,3] v",
        "w = DequantizeLinear(q, s, z) c = Conv(x, w) f = Reshape(c, to) y = MatMul(f, v)",
        constants="float s = {0.5}, int8 z = {0}, int64[3] to = {-1, 5, 64}",
        batch=4,
    )
    assert flops == {"w": 0, "c": 2 * 4 * 5 * 64 * 4, "f": 0, "y": 2 * 4 * 5 * 3 * 64}


def test_flops_of_a_function_body_count_for_its_call() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20, "own" : 1]>
        agraph (float[N,3,4] x, float[4,5] w) => (float[N,3,5] y)
        { a = own.Doubled(x, w) y = own.Doubled(x, w) }
        <domain: "own", opset_import: ["" : 20]>
        Doubled (p, q) => (r) { m = MatMul(p, q) r = Add(m, m) }
    """)
    for node in model.graph.node:
        node.name = f"call of {node.output[0]}"
    found = graph_work(model, batch=2)
    assert found.total == 2 * (2 * 2 * 3 * 5 * 4)
    counted = [found.labels[name] for name, flops in found.flops.items() if flops]
    assert counted == ["call of a", "call of y"]


def test_uncounted_nodes_are_named() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20]>
        agraph (uint8[1,3,4] x, float[A,B] u, uint8[4,5] w) => (int32[1,3,5] y, float[A,A] z)
        { y = MatMulInteger(x, w) t = Transpose(u) z = MatMul(u, t) }
    """)
    for node in model.graph.node:
        node.name = node.output[0]
    found = graph_work(model, batch=1)
    assert found.uncounted == ("y", "z")
    assert found.total == 0
