"""Shape inference and checks in linear time, with the results of ONNX also segment by segment."""

from __future__ import annotations

import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from onnx_ir.passes import common

from ocr_trt.common import onnx_segments
from ocr_trt.common.onnx_shapes import check_model, infer_shapes
from tests.convert.scaling_graphs import GRAPHS, model_of


def shapes_of(model: ir.Model) -> dict[str, str]:
    return {
        f"{number} {name}": f"{value.dtype} {value.shape}"
        for number, graph in enumerate(model.graphs())
        for name, value in ir.convenience.create_value_mapping(graph).items()
    }


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "segments"])
@pytest.mark.parametrize("kind", GRAPHS)
def test_shapes_are_those_of_onnx(kind: str, is_cut: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_cut:
        monkeypatch.setattr(onnx_segments, "_LARGEST_TABLE", -1)
        monkeypatch.setattr(onnx_segments, "_NODES", 40)
        monkeypatch.setattr(onnx_segments, "_OVERLAP", 10)
    expected, model = (ir.from_proto(model_of(kind, 420)) for _ in range(2))
    common.ShapeInferencePass()(expected)
    before = {each.name: each for each in ir.to_proto(model).graph.initializer}
    infer_shapes(model)
    assert shapes_of(model) == shapes_of(expected)
    assert {each.name: each for each in ir.to_proto(model).graph.initializer} == before
    assert len(model.graph.inputs) == 1
    assert [*model.graph.initializers] == [*expected.graph.initializers]
    check_model(model)


TEXT = """<ir_version: 10, opset_import: ["" : 20]>
    g (float[2,3] x, bool c) => (float[N,M] y)
    <float[400] w, int64[1] axis = {0}> {
        a = NonZero (x)
        b = Cast <to = 1> (a)
        d = NonZero (b)
        e = If (c) <then_branch = t () => (r1) { r1 = Relu (x) },
                    else_branch = f () => (r2) { r2 = Neg (x) }>
        h = Cast <to = 1> (d)
        s = Shape (e)
        k = Reshape (b, s)
        m = ReduceSum (w, axis)
        n = Add (k, m)
        y = Add (n, e)
    }"""


def test_unknown_sizes_of_segments_are_not_taken_for_equal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnx_segments, "_LARGEST_TABLE", -1)
    monkeypatch.setattr(onnx_segments, "_NODES", 1)
    monkeypatch.setattr(onnx_segments, "_OVERLAP", 2)
    proto = onnx.parser.parse_model(TEXT)
    inferred = onnx_segments.infer_shapes_linearly(
        proto, check_type=True, strict_mode=True, data_prop=True
    )
    (lines,) = (value for value in inferred.graph.value_info if value.name == "a")
    (other,) = (value for value in inferred.graph.value_info if value.name == "d")
    sizes = [value.type.tensor_type.shape.dim for value in (lines, other)]
    assert [size[0].dim_value for size in sizes] == [2, 2]
    assert not any(size[1].HasField("dim_param") for size in sizes)
    (reshaped,) = (value for value in inferred.graph.value_info if value.name == "k")
    assert [d.dim_value for d in reshaped.type.tensor_type.shape.dim] == [2, 3]
    assert [d.dim_param or d.dim_value for d in inferred.graph.output[0].type.tensor_type.shape.dim]
    branch = inferred.graph.node[3].attribute[0].g.output[0].type.tensor_type
    assert [d.dim_value for d in branch.shape.dim] == [2, 3]


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "segments"])
def test_contradictions_are_errors(is_cut: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_cut:
        monkeypatch.setattr(onnx_segments, "_LARGEST_TABLE", -1)
    text = """<ir_version: 10, opset_import: ["" : 20]>
        g (float[2,3] x) => (float[N,M] y) { a = Transpose (x) b = Add (a, x) y = Relu (b) }"""
    model = ir.from_proto(onnx.parser.parse_model(text))
    with pytest.raises(onnx.shape_inference.InferenceError, match="Add"):
        check_model(model)
    infer_shapes(model)
    assert model.graph[0].outputs[0].shape is None  # nothing is changed then


def test_weight_that_is_an_input_too_stays_both() -> None:
    proto = model_of("conv", 10)
    weight = proto.graph.initializer[0]
    proto.graph.input.append(
        onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims)
    )
    model = ir.from_proto(proto)
    infer_shapes(model)
    assert [value.name for value in model.graph.inputs] == ["x", weight.name]
    assert ir.to_proto(model).graph.initializer == proto.graph.initializer


def test_work_grows_with_the_number_of_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX copies the table of all values for each branch: that is what must stay small."""
    infer, copied = onnx.shape_inference.infer_shapes, list[int]()

    def counting(model: onnx.ModelProto, *options: bool) -> onnx.ModelProto:
        inner = sum(node.op_type == "If" for node in model.graph.node)
        copied.append(2 * inner * (len(model.graph.node) + len(model.graph.input)))
        return infer(model, *options)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", counting)
    monkeypatch.setattr(onnx_segments, "_LARGEST_TABLE", 1_000_000)
    totals = []
    for nodes in (3000, 12_000):
        copied.clear()
        onnx_segments.infer_shapes_linearly(model_of("if", nodes))
        totals.append(sum(copied))
    assert totals[1] <= 5 * totals[0]
