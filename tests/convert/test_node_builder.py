"""NodeBuilder: types, shapes and constants of new nodes, and where they go."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.convert.node_builder import NodeBuilder

from .helpers import graph, ops, run

TEXT = "agraph (float[2,3] x) => (float[2,3] y) { a = Relu(x) y = Neg(a) }"


def parts(model: ir.Model) -> tuple[ir.Value, ir.Node, ir.Node]:
    relu, neg = model.graph
    return model.graph.inputs[0], relu, neg


@pytest.mark.parametrize(
    ("operand", "dtype", "shape"),
    [
        (0.5, np.float32, ()),
        ((2, 3), np.int64, (2,)),
        ((), np.int64, (0,)),
        (np.zeros((3, 1), np.float32), np.float32, (3, 1)),
        (np.uint8(4), np.uint8, ()),
    ],
)
def test_numbers_become_constants(operand: object, dtype: type, shape: tuple[int, ...]) -> None:
    value = NodeBuilder(graph(TEXT).graph).constant(operand)
    assert value is not None
    assert value.const_value is not None
    array = value.const_value.numpy()
    assert (array.dtype, array.shape) == (dtype, shape)


def test_results_are_typed_like_the_first_value() -> None:
    model = graph(TEXT)
    x, *_ = parts(model)
    build = NodeBuilder(model.graph)
    total = build.op("Sub", np.float32(1), x)
    assert (total.dtype, total.shape) == (ir.DataType.FLOAT, x.shape)
    mask = build.op("Less", x, 0.5, dtype=ir.DataType.BOOL)
    assert mask.dtype == ir.DataType.BOOL
    left, right = build.ops("Split", x, shapes=[(2, 1), (2, 2)], axis=1, num_outputs=2)
    assert (left.shape, right.shape) == ((2, 1), (2, 2))


def test_shapes_stay_open_on_request() -> None:
    model = graph(TEXT)
    x, *_ = parts(model)
    assert NodeBuilder(model.graph, shapes=False).op("Relu", x).shape is None


def test_views_that_do_nothing_add_no_node() -> None:
    model = graph(TEXT)
    x, *_ = parts(model)
    build = NodeBuilder(model.graph)
    assert build.reshape(x, (2, 3)) is x
    assert build.transpose(x, (0, 1)) is x
    assert build.nodes == []
    assert build.transpose(build.reshape(x, (3, 2)), (1, 0)).shape == (2, 3)


def test_replaced_nodes_disappear_and_the_output_keeps_its_name() -> None:
    model = graph(TEXT)
    (before,) = run(model)
    x, relu, neg = parts(model)
    build = NodeBuilder(model.graph)
    build.replace([relu, neg], build.op("Neg", build.op("Max", x, 0.0)))
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert ops(model) == {"Max": 1, "Neg": 1}
    assert model.graph.outputs[0].name == "y"
    np.testing.assert_array_equal(run(model)[0], before)


def test_a_builder_can_be_used_again_after_it_inserted() -> None:
    model = graph(TEXT)
    _, relu, neg = parts(model)
    build = NodeBuilder(model.graph)
    value = build.op("Abs", relu.outputs[0])
    build.insert_after(relu)
    neg.replace_input_with(0, build.op("Exp", value))
    build.insert_before(neg)
    assert [node.op_type for node in model.graph] == ["Relu", "Abs", "Exp", "Neg"]
