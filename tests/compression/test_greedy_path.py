"""The cost model and the path from the whole network to the smallest one."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.compression.cost_model import CostModel, Curve, OpCost, proportional_cost
from ocr_trt.compression.decisions import Factor, Prune, SmallerGraph
from ocr_trt.compression.greedy_path import CHANNEL_FACTOR, Option, greedy_path
from ocr_trt.compression.op_shares import OpShare, factored_parts, op_shares, op_work, total_flops

A, A_LESS, B = (Factor(layer=n, rank=r) for n, r in (("a", 16), ("a", 8), ("b", 8)))
G = Prune(group="a", kept=(0, 2))


def half(first: float, second: float) -> OpShare:
    return OpShare(first=first, second=second)


SHARES = {
    A: {"a": half(0.25, 0.25)},
    A_LESS: {"a": half(0.125, 0.125)},
    B: {"b": half(0.2, 0.2)},
    # Half of the channels between a and b: a writes fewer, and b reads fewer.
    G: {"a": OpShare(written=0.5), "b": OpShare(read=0.5)},
}


def model(a: float = 10.0, b: float = 10.0, rest: float = 1.0) -> CostModel:
    plain = OpCost(dense=Curve([(1.0, a)]), factored=Curve([(1.0, a)]))
    other = OpCost(dense=Curve([(1.0, b)]), factored=Curve([(1.0, b)]))
    return CostModel(ops={"a": plain, "b": other}, rest=rest, shares=SHARES)


def test_curve_is_linear_between_points_and_proportional_outside() -> None:
    curve = Curve([(1.0, 10.0), (0.5, 6.0), (0.5, 8.0)])
    assert curve.at(1.0) == 10
    assert curve.at(0.5) == 7, "the mean of two measurements"
    assert curve.at(0.75) == pytest.approx(8.5)
    assert curve.at(0.25) == pytest.approx(3.5)


def test_curve_never_grows_when_the_work_falls() -> None:
    curve = Curve([(1.0, 10.0), (0.5, 11.0)])
    assert curve.at(0.5) == 10


def test_cost_of_an_op_that_is_factored_and_pruned() -> None:
    costs = model()
    assert costs.cost(()) == 21
    assert costs.cost((A,)) == 16
    assert costs.cost((G,)) == 11
    # Of the first part, nothing changes; the second part writes half of the channels.
    assert costs.cost((A, G)) == pytest.approx(1 + 10 * (0.25 + 0.125) + 5)
    assert proportional_cost(10.0).factored.at(1.0) > 10, "two ops cost more than one"


def test_path_takes_the_least_error_per_cost_first() -> None:
    options = [
        Option(decision=A, error=1.0), Option(decision=A_LESS, error=9.0),
        Option(decision=B, error=0.5),
    ]  # fmt: skip
    path = greedy_path(options, model())
    assert [point.decisions for point in path] == [(), (B,), (B, A), (B, A_LESS)]
    assert [point.cost for point in path] == pytest.approx([21, 15, 10, 7.5])
    assert [point.error for point in path] == pytest.approx([0, 0.5, 1.5, 9.5])


def test_a_smaller_option_may_be_taken_at_once() -> None:
    options = [Option(decision=A, error=1.0), Option(decision=A_LESS, error=1.1)]
    path = greedy_path(options, model())
    assert [point.decisions for point in path] == [(), (A_LESS,)]


def test_errors_of_channels_count_more() -> None:
    path = greedy_path([Option(decision=G, error=1.0)], model())
    assert path[-1].error == CHANNEL_FACTOR


def test_options_that_save_nothing_are_left_out() -> None:
    path = greedy_path([Option(decision=B, error=0.0)], model(b=1e-6))
    assert [point.decisions for point in path] == [()]


def test_equal_inputs_give_equal_paths() -> None:
    options = [Option(decision=each, error=1.0) for each in (A, B, A_LESS, G)]
    paths = [greedy_path(each, model()) for each in (options, options[::-1])]
    assert paths[0] == paths[1]


TWO = """<ir_version: 8, opset_import: ["" : 20]>
    g (float[1,4,8,8] x) => (float[1,2,8,8] b)
    { a = Conv <pads = [1, 1, 1, 1]> (x, w)
      r = Relu(a)
      b = Conv <pads = [1, 1, 1, 1]> (r, v) }"""


def graph(text: str, **shapes: tuple[int, ...]) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(text)
    for name, shape in shapes.items():
        array = np.ones(shape, np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return onnx.shape_inference.infer_shapes(proto)


def test_shares_of_a_pruned_group() -> None:
    work = op_work(graph(TWO, w=(8, 4, 3, 3), v=(2, 8, 3, 3)))
    assert total_flops(work) == 2 * 64 * 9 * (8 * 4 + 2 * 8)
    smaller = SmallerGraph(model=graph(TWO, w=(4, 4, 3, 3), v=(2, 4, 3, 3)))
    shares = op_shares(work, smaller)
    assert shares == {
        "a": OpShare(written=0.5), "r": OpShare(written=0.5), "b": OpShare(read=0.5)
    }  # fmt: skip


def test_shares_of_a_factored_layer() -> None:
    work = op_work(graph(TWO, w=(8, 4, 3, 3), v=(2, 8, 3, 3)))
    text = TWO.replace(
        "b = Conv <pads = [1, 1, 1, 1]> (r, v)",
        "p = Conv <pads = [1, 0, 1, 0]> (r, v1)  b = Conv <pads = [0, 1, 0, 1]> (p, v2)",
    )
    smaller = graph(text, w=(8, 4, 3, 3), v1=(1, 8, 3, 1), v2=(2, 1, 1, 3))
    assert factored_parts(work, smaller) == {"p": "b"}
    shares = op_shares(work, SmallerGraph(model=smaller))
    # 8 * 3 and 2 * 3 products in place of 2 * 8 * 9.
    assert shares == {"b": OpShare(first=24 / 144, second=6 / 144)}
