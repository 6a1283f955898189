"""Dead channels are removed without a change of the result."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.compression.channel_groups import group_channels
from ocr_trt.compression.constant_channels import constant_channels
from ocr_trt.compression.dead_channels import remove_dead_channels
from ocr_trt.compression.decisions import SmallerGraph
from ocr_trt.plugins.max_pool_argmax_2d import BODY as POOL
from ocr_trt.plugins.max_unpool_2d import BODY as UNPOOL
from ocr_trt.plugins.onnx_function import add_function
from tests.compression.random_channels import RandomGraph, run, with_shapes, zero_channels
from tests.convert.helpers import graph

_SIZE = InputSize(8, 8)


def _removed(model: ir.Model, atol: float = 1e-5) -> SmallerGraph:
    """Remove dead channels, and check that the result stays."""
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    smaller = remove_dead_channels({_SIZE: ir.to_proto(model)})[_SIZE]
    onnx.checker.check_model(smaller.model, full_check=True)
    result = run(ir.from_proto(smaller.model), image)
    np.testing.assert_allclose(result, run(model, image), atol=atol)
    return smaller


def test_zeroed_channels_of_random_graphs_disappear() -> None:
    count = 0
    for seed in range(8):
        model = RandomGraph(seed).build(3, transformer=seed % 2 == 0)
        assert zero_channels(model, np.random.default_rng(seed))
        count += bool(_removed(model).channels)
    # Not those whose constant meets padding, or that a ConvTranspose computes.
    assert count >= 6


def _model(lines: str, **weights: np.ndarray) -> ir.Model:
    text = f"t (float[1, 3, 8, 8] image) => (y) {{ {lines} }}"
    rng = np.random.default_rng(1)
    shapes = {"w": (4, 3, 3, 3), "b": (4,), "w2": (4, 4, 3, 3), "b2": (4,), "last": (2, 4, 1, 1)}
    drawn = {name: rng.standard_normal(shape) for name, shape in shapes.items() if name in text}
    arrays = {n: np.asarray(a, np.float32) for n, a in {**drawn, **weights}.items()}
    return with_shapes(graph(text, **arrays))


def _dead_first(shape: tuple[int, ...]) -> np.ndarray:
    array = np.random.default_rng(2).standard_normal(shape)
    array[0] = 0
    return array


_SAME = "pads = [1, 1, 1, 1]"


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("bias", [-1.0, 2.0])
def test_a_constant_is_folded_unless_it_meets_padding(padded: bool, bias: float) -> None:
    """Relu makes the constant 0 of a negative bias, which may meet padding."""
    pads = _SAME if padded else "pads = [0, 0, 0, 0]"
    lines = f"a = Conv <{_SAME}> (image, w, b)\nr = Relu (a)\ny = Conv <{pads}> (r, w2)"
    smaller = _removed(_model(lines, w=_dead_first((4, 3, 3, 3)), b=np.array([bias, 1, -1, 0.5])))
    is_removed = "a" in smaller.channels
    assert is_removed == (bias < 0 or not padded)
    if is_removed:
        assert smaller.channels["r"] == (1, 2, 3)


def test_removals_that_follow_from_others_are_found() -> None:
    second, last = _dead_first((4, 4, 3, 3)), np.ones((2, 4, 1, 1))
    second[2] = 0
    second[2, 0] = 1  # reads only the dead channel of the first layer
    lines = f"a = Conv <{_SAME}> (image, w, b)\nr = Relu (a)\ns = Conv (r, w2, b2)\n"
    smaller = _removed(
        _model(
            lines + "t = Sigmoid (s)\ny = Conv (t, last)",
            w=_dead_first((4, 3, 3, 3)), b=np.array([-1, 1, -1, 0.5]), w2=second, last=last,
        )
    )  # fmt: skip
    assert smaller.channels["s"] == (1, 3)


def test_channels_that_no_layer_reads_disappear_with_their_layer() -> None:
    last = np.ones((2, 4, 1, 1))
    last[:, [1, 2]] = 0
    lines = "a = Conv (image, w, b)\nr = Relu (a)\nm = Mul (r, r)\ny = Conv (m, last)"
    assert _removed(_model(lines, last=last)).channels["a"] == (0, 3)


def test_a_channel_that_one_of_two_layers_reads_stays() -> None:
    last = np.zeros((2, 4, 1, 1))
    lines = f"a = Conv <{_SAME}> (image, w, b)\nc = Conv <{_SAME}> (a, w2)\nd = Relu (c)\n"
    model = _model(
        lines + "e = Add (a, d)\ny = Conv (e, last)", last=last, w2=np.ones((4, 4, 3, 3))
    )
    # Nothing reads the sum, and so nothing reads "a" in the end; one channel remains.
    assert all(len(kept) == 1 for kept in _removed(model).channels.values())


def test_channels_of_a_depthwise_layer_that_differ_are_kept_apart() -> None:
    """Both channels of the input's first one are constant, but not the same number."""
    deep = _dead_first((8, 1, 3, 3))
    deep[1] = 0
    lines = f"a = Conv <{_SAME}> (image, w, b)\nd = Conv <group = 4> (a, deep, shift)\n"
    model = _model(
        lines + "y = Conv (d, wide)",
        w=_dead_first((4, 3, 3, 3)), deep=deep, shift=np.arange(8.0), wide=np.ones((2, 8, 1, 1)),
    )  # fmt: skip
    assert not _removed(model).channels


def test_an_unpooled_constant_stays_unless_it_is_zero() -> None:
    lines = f"a = Conv <{_SAME}> (image, w, b)\nr = Relu (a)\n"
    lines += (
        "p, i = ocr_trt.MaxPoolArgmax2d (r)\nu = ocr_trt.MaxUnpool2d (p, i)\ny = Conv (u, last)"
    )
    weights = _dead_first((4, 3, 3, 3))
    for bias, count in ((2.0, 0), (-1.0, 1)):
        model = _model(lines, w=weights, b=np.array([bias, 1, -1, 0.5]))
        for body in (POOL, UNPOOL):
            add_function(model, body)
        smaller = _removed(with_shapes(model))
        assert len(smaller.channels.get("u", ())) == (3 if count else 0)


def test_a_graph_without_dead_channels_stays() -> None:
    model = RandomGraph(3).build(3)
    smaller = remove_dead_channels({_SIZE: ir.to_proto(model)})[_SIZE]
    assert not smaller.channels
    assert len(smaller.model.graph.node) == len(model.graph)


def test_a_channel_must_be_dead_at_every_input_size() -> None:
    models = [
        _model("a = Conv (image, w, b)\ny = Conv (a, last)", last=last)
        for last in (np.eye(2, 4).reshape(2, 4, 1, 1), np.ones((2, 4, 1, 1)))
    ]
    graphs = {InputSize(8, 8): ir.to_proto(models[0]), InputSize(8, 9): ir.to_proto(models[1])}
    assert not any(each.channels for each in remove_dead_channels(graphs).values())


def test_a_product_along_another_axis_does_not_read_channels() -> None:
    """A matrix (W, W) resizes an image of 4 columns, as many as there are channels."""
    matrix = np.ones((4, 4))
    matrix[:, 1] = matrix[2] = 0
    lines = "a = Conv <strides = [1, 2], pads = [1, 1, 1, 1]> (image, w, b)\n"
    smaller = _removed(_model(lines + "m = MatMul (a, matrix)\ny = Conv (m, last)", matrix=matrix))
    assert not smaller.channels


def _constants(lines: str, **weights: np.ndarray) -> dict[str, set[int]]:
    """Return which channels of each tensor are constant."""
    model = _model(lines, **weights)
    relation = group_channels(model.graph).relation
    found = constant_channels(model.graph, relation)
    return {
        value.name or "": set(np.flatnonzero(~np.isnan(found.along(value))).tolist())
        for node in model.graph
        for value in node.outputs
    }


def test_channels_behind_an_op_that_cannot_be_evaluated_are_not_known() -> None:
    """onnxruntime refuses a slope of another type than its input."""
    lines = "a = Conv (image, w, b)\nr = Relu (a)\np = PRelu (a, slope)\ny = Conv (r, last)"
    text = f"t (float[1, 3, 8, 8] image) => (y) {{ {lines} }}"
    arrays = {"w": _dead_first((4, 3, 3, 3)), "b": np.ones(4), "last": np.ones((2, 4, 1, 1))}
    slope = np.ones((4, 1, 1))  # float64
    model = with_shapes(graph(text, slope=slope, **{n: np.float32(a) for n, a in arrays.items()}))  # type: ignore[arg-type]
    found = constant_channels(model.graph, group_channels(model.graph).relation)
    known = {value.name: each for value, each in found.by_value.items()}
    assert len(known["a"]) == len(known["r"]) == 1
    assert not known["p"]


@pytest.mark.parametrize("to", ["16", "19", "8"], ids=["bfloat16", "float8", "string"])
def test_a_cast_to_a_type_that_numpy_does_not_have_hides_constants(to: str) -> None:
    lines = f"a = Conv (image, w, b)\nc = Cast <to = {to}> (a)\nd = Cast <to = 1> (c)\n"
    found = _constants(lines + "y = Conv (d, last)", w=_dead_first((4, 3, 3, 3)))
    assert found["a"] == {0}
    assert found["c"] == found["d"] == set()


def test_a_channel_that_is_constant_in_one_of_two_maps_beside_each_other_stays() -> None:
    lines = "a = Conv (image, w, b)\nc = Conv (image, v)\nt = Concat <axis = 2> (a, c)\n"
    other = np.random.default_rng(3).standard_normal((4, 3, 3, 3))
    known = {"w": _dead_first((4, 3, 3, 3)), "b": np.ones(4)}
    assert not _removed(_model(lines + "y = Conv (t, last)", v=other, **known)).channels
    # The same constant in both.
    both = _removed(_model(lines.replace("v)", "w, b)") + "y = Conv (t, last)", **known))
    assert both.channels["t"] == (1, 2, 3)


def test_constants_are_folded_once_into_layers_that_share_their_weights() -> None:
    lines = "a = Conv (image, w, b)\nc = Conv (image, w, d)\n"
    lines += "e = Conv (a, w2, b2)\nf = Conv (c, w2)\ns = Concat <axis = 1> (e, f)\n"
    smaller = _removed(
        _model(
            lines + "y = Conv (s, wide)",
            w=_dead_first((4, 3, 3, 3)), b=np.arange(1.0, 5), d=np.arange(2.0, 6),
            wide=np.ones((2, 8, 1, 1)),
        ),
        atol=1e-3,  # the values are up to 400
    )  # fmt: skip
    assert smaller.channels["a"] == smaller.channels["c"] == (1, 2, 3)
    assert smaller.model.graph.node[2].input[1] == smaller.model.graph.node[3].input[1]


def test_a_part_of_a_split_with_one_channel_keeps_it() -> None:
    """Nothing needs the part: the layer that reads it has no weights but zeros."""
    lines = "a = Conv (image, w, b)\np, q = Split <axis = 1> (a, sizes)\n"
    lines += "c = Conv (p, zero)\nd = Conv (q, three)\ne = Add (c, d)\ny = Conv (e, last)"
    text = f"t (float[1, 3, 8, 8] image) => (y) {{ {lines} }}"
    rng = np.random.default_rng(1)
    shapes = {"w": (4, 3, 3, 3), "b": (4,), "three": (4, 3, 1, 1), "last": (2, 4, 1, 1)}
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    zero = np.zeros((4, 1, 1, 1), np.float32)
    smaller = _removed(with_shapes(graph(text, sizes=np.array([1, 3]), zero=zero, **arrays)))
    assert len(smaller.channels.get("a", (0, 1, 2, 3))) == 4
