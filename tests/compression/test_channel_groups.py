"""Which channels belong together, and which must stay, for each kind of op."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from ocr_trt.compression.channel_groups import ChannelGroup, channel_groups
from ocr_trt.compression.decisions import Prune
from ocr_trt.compression.prune import prune_channels
from ocr_trt.errors import ConversionError
from tests.compression.random_channels import run, with_shapes
from tests.convert.helpers import graph, used

_RNG = np.random.default_rng(0)
_WEIGHTS = {
    "w3": _RNG.standard_normal((8, 3, 3, 3)),
    "w8": _RNG.standard_normal((8, 8, 3, 3)),
    "w1": _RNG.standard_normal((8, 8, 1, 1)),
    "wg": _RNG.standard_normal((8, 4, 3, 3)),
    "wd": _RNG.standard_normal((16, 1, 3, 3)),
    "w16": _RNG.standard_normal((2, 16, 1, 1)),
    "last": _RNG.standard_normal((2, 8, 1, 1)),
    "gain": _RNG.standard_normal(8),
    "p8": _RNG.standard_normal((8, 1, 1)),
    **{name: _RNG.standard_normal((8, 8)) for name in ("mq", "mk", "mv", "m8")},
    "m2": _RNG.standard_normal((8, 2)),
    "var": _RNG.uniform(0.5, 1, 8),
    "wide": _RNG.standard_normal((512, 2)),
    "square": _RNG.standard_normal((3, 3, 1, 1)),
    "heads": _RNG.standard_normal((1, 2, 1, 1)),
    "lstm": _RNG.standard_normal((1, 20, 8)),
    "lstm_r": _RNG.standard_normal((1, 20, 5)),
}
_NUMBERS = {
    "cut": [1, 64, 2, 4],
    "flat": [1, 64, 8],
    "sequence": [1, 8, 64],
    "rows": [32, 8],
    "vector": [1, 512],
    "one": [1],
    "space": [2, 3],
    "zero": [0],
    "four": [4],
    "eight": [8],
    "groups": [1, 2, 256],
    "as_before": [1, 8, 8, 8],
    "third": [3],
    "pads": [0, 0, 1, 0, 0, 0, 1, 0],
}


def _model(lines: str) -> ir.Model:
    text = f"t (float[1, 3, 8, 8] image) => (y) {{ {lines} }}"
    weights = {name: array.astype(np.float32) for name, array in used(text, _WEIGHTS).items()}
    numbers = {name: array.astype(np.int64) for name, array in used(text, _NUMBERS).items()}
    return with_shapes(graph(text, **weights, **numbers))


def _groups(lines: str) -> dict[str, ChannelGroup]:
    return {group.name: group for group in channel_groups(_model(lines).graph)}


_CONV = "a = Conv <pads = [1, 1, 1, 1]> (image, w3)\n"
_SECOND = "b = Conv <pads = [1, 1, 1, 1]> (a, w8)\n"
_END = "y = Conv ({}, last)"


def test_a_skip_ties_two_layers() -> None:
    groups = _groups(_CONV + _SECOND + "c = Add (a, b)\n" + _END.format("c"))
    assert groups["a"].producers == ("a", "b")
    assert groups["a"].consumers == ("b", "y")
    assert groups["a"].size == 8
    assert not groups["y"].is_prunable
    assert "output" in groups["y"].reason


def test_concat_keeps_groups_apart() -> None:
    groups = _groups(_CONV + _SECOND + "c = Concat <axis = 1> (a, b)\ny = Conv (c, w16)")
    assert groups["a"].is_prunable
    assert groups["b"].is_prunable
    assert groups["a"].places["c"].channels.tolist() == [*range(8), *[-1] * 8]
    assert groups["b"].places["c"].channels.tolist() == [*[-1] * 8, *range(8)]


def test_a_part_of_a_split_is_tied_alone() -> None:
    lines = "s, t = Split <axis = 1, num_outputs = 2> (a)\nc = Add (s, t)\n"
    group = _groups(_CONV + lines + "d = Concat <axis = 1> (c, c)\n" + _END.format("d"))["a"]
    assert group.size == 4, "channel i and i + 4 are added"
    assert group.places["a"].channels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_depthwise_channels_follow_their_input() -> None:
    lines = "d = Conv <group = 8, pads = [1, 1, 1, 1]> (a, wd)\ny = Conv (d, w16)"
    groups = _groups(_CONV + lines)
    assert set(groups) == {"a", "y"}
    assert groups["a"].places["d"].channels.tolist() == [c for c in range(8) for _ in (0, 1)]


def test_groups_of_a_convolution_stay_equally_large() -> None:
    lines = "d = Conv <group = 2, pads = [1, 1, 1, 1]> (a, wg)\n"
    groups = _groups(_CONV + lines + _END.format("d"))
    assert groups["a"].rows == ((0, 1, 2, 3), (4, 5, 6, 7))
    assert groups["d"].rows == ((0, 1, 2, 3), (4, 5, 6, 7))
    model = _model(_CONV + lines + _END.format("d"))
    with pytest.raises(ConversionError, match=r"equally many.*\[2, 4\]"):
        prune_channels(model, [Prune(group="a", kept=(0, 1, 4, 5, 6, 7))])


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("b = Softmax <axis = 1> (a)\n", "Softmax"),
        ("b = ReduceMax <keepdims = 1> (a, one)\nc = Add (a, b)\n", "ReduceMax"),
        ("t = Transpose <perm = [0, 2, 3, 1]> (a)\nn = LayerNormalization (t, gain)", "statistics"),
        ("b = Mul (a, a)\nc = Gather <axis = 1> (b, zero)\n", "Gather"),
        ("r = Reshape (a, groups)\nn = Softmax <axis = -1> (r)\n", "Softmax"),
        ("b = Shape (a)\nc = Reshape (a, b)\n", "Shape"),
        ("b = CumSum (a, one)\n", "CumSum"),
        ("b = Einsum <equation = \"nchw -> nchw\"> (a)\n", "Einsum"),
        ("b = LpNormalization <axis = 1> (a)\n", "mixes"),
        ("b, i = MaxPool <kernel_shape = [2, 2]> (a)\nc = Cast <to = 1> (i)\n", "MaxPool"),
    ],
)  # fmt: skip
def test_channels_that_an_op_needs_stay(lines: str, reason: str) -> None:
    last = lines.strip().splitlines()[-1].split(" = ")[0]
    group = _groups(_CONV + lines + f"y = Identity ({last})")["a"]
    assert not group.is_prunable
    assert reason in group.reason
    assert group.fixed == frozenset(range(8))


def test_channels_that_meet_fixed_ones_stay() -> None:
    groups = _groups("b = Conv (image, square)\nc = Add (b, image)\ny = Conv (c, square)")
    assert "no layer computes" in groups["b"].reason


@pytest.mark.parametrize(
    "lines",
    [
        "b = InstanceNormalization (a, gain, gain)\n",
        "b = BatchNormalization (a, gain, gain, gain, var)\n",
        "m = GlobalAveragePool (a)\ns = Sigmoid (m)\nb = Mul (a, s)\n",
        "b = PRelu (a, p8)\n",
        "b = Softmax <axis = -1> (a)\n",
        "r = Reshape (a, sequence)\nb = Reshape (r, as_before)\n",
        "s = Slice (a, zero, eight, third)\nb = Pad (s, pads)\n",
    ],
)
def test_ops_on_each_channel_let_it_go(lines: str) -> None:
    model = _model(_CONV + lines + _END.format("b"))
    image = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)
    # Without weights for channels 1 and 5, the result does not depend on them.
    weights = model.graph.initializers["last"]
    array = weights.const_value.numpy().copy()  # type: ignore[union-attr]
    array[:, [1, 5]] = 0
    weights.const_value = ir.tensor(array, name="last")
    expected = run(model, image)
    assert prune_channels(model, [Prune(group="a", kept=(0, 2, 3, 4, 6, 7))])["b"] == (
        0,
        2,
        3,
        4,
        6,
        7,
    )
    np.testing.assert_allclose(run(model, image), expected, atol=1e-5)


def test_flattened_channels_reach_a_dense_layer() -> None:
    group = _groups(_CONV + "r = Reshape (a, vector)\ny = Gemm (r, wide)")["a"]
    assert group.is_prunable
    assert group.consumers == ("y",)
    assert group.places["r"].channels.tolist() == [c for c in range(8) for _ in range(64)]


_SEQUENCE = _CONV + "r = Reshape (a, sequence)\nx = Transpose <perm = [0, 2, 1]> (r)\n"


def test_the_input_of_an_lstm_can_shrink_but_not_its_state() -> None:
    lines = "t = Transpose <perm = [1, 0, 2]> (x)\nh = LSTM <hidden_size = 5> (t, lstm, lstm_r)\n"
    groups = _groups(_SEQUENCE + lines + "y = Relu (h)")
    assert groups["a"].is_prunable
    assert set(groups) == {"a"}


def test_steps_of_an_unrolled_recurrence_share_their_channels() -> None:
    lines = _SEQUENCE + "p, q = Split <axis = 1, num_outputs = 2> (x)\n"
    lines += "h1 = MatMul (p, mq)\ns1 = Tanh (h1)\nh2 = MatMul (s1, mk)\n"
    lines += "qf = Reshape (q, rows)\nh2f = Reshape (h2, rows)\ns2 = Gemm (qf, mq, h2f)\n"
    groups = _groups(lines + "s3 = MatMul (s2, mk)\ny = MatMul (s3, m2)")
    assert groups["h1"].producers == ("h1", "h2", "s2", "s3")
    assert groups["h1"].is_prunable


def _attention(q: str = "q", scale: str = "") -> str:
    """Return attention with a product each for queries, keys and values."""
    lines = _SEQUENCE
    for name, perm in (("q", "0, 2, 1, 3"), ("k", "0, 2, 3, 1"), ("v", "0, 2, 1, 3")):
        lines += f"{name}1 = MatMul (x, m{name})\n{name}2 = Reshape ({name}1, cut)\n"
        lines += f"{name} = Transpose <perm = [{perm}]> ({name}2)\n"
    lines += scale + f"s = MatMul ({q}, k)\nsm = Softmax <axis = -1> (s)\no = MatMul (sm, v)\n"
    lines += "back = Transpose <perm = [0, 2, 1, 3]> (o)\nf = Reshape (back, flat)\n"
    return lines + "y = MatMul (f, m2)"


def test_attention_has_groups_of_heads_and_of_channels_in_heads() -> None:
    groups = _groups(_attention())
    assert {name: group.is_prunable for name, group in groups.items()} == {
        "a": True, "q1": True, "q2": True, "v1": True, "y": False,
    }  # fmt: skip
    assert groups["q1"].producers == ("q1", "k1")
    assert groups["q1"].rows == groups["v1"].rows == ((0, 1, 2, 3), (4, 5, 6, 7))
    heads = groups["q2"]
    assert heads.is_heads
    assert heads.size == 2
    assert heads.places["f"].channels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert heads.consumers == ("y",)


def test_heads_with_a_scale_each_can_be_removed() -> None:
    model = _model(_attention("qs", "qs = Mul (q, heads)\n"))
    kept = prune_channels(
        model, [Prune(group="q2", kept=(1,)), Prune(group="q1", kept=(0, 2, 5, 7))]
    )
    assert kept["f"] == (4, 5, 6, 7)
    assert model.graph.initializers["heads"].shape == (1, 1, 1, 1)
    image = np.zeros((1, 3, 8, 8), np.float32)
    assert run(model, image).shape == (1, 64, 2)


def test_all_channels_of_a_head_without_the_head_are_refused() -> None:
    with pytest.raises(ConversionError, match="at least one"):
        prune_channels(_model(_attention()), [Prune(group="q1", kept=(4, 5, 6, 7))])


@pytest.mark.parametrize(
    ("decision", "facts"),
    [
        (Prune(group="nowhere", kept=(0,)), "nowhere"),
        (Prune(group="a", kept=(0, 8)), "between 0 and 7"),
        (Prune(group="y", kept=(0,)), "output"),
    ],
)
def test_a_decision_that_does_not_fit_is_refused(decision: Prune, facts: str) -> None:
    with pytest.raises(ConversionError, match=facts):
        prune_channels(_model(_CONV + _END.format("a")), [decision])
