"""Loops and branches that stay: closed, with known shapes and a free batch; or refused."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from ocr_trt.calibration.autocast import autocast, float_tensors
from ocr_trt.convert.passes.close_loops import close_loops
from ocr_trt.convert.passes.fold_constants import fold_constants
from ocr_trt.convert.passes.free_batch import free_batch
from ocr_trt.convert.passes.inline_branches import inline_branches
from ocr_trt.convert.passes.name_values import name_values
from ocr_trt.convert.passes.settle_loop_types import settle_loop_types
from ocr_trt.convert.recurrent.loops import body_of
from ocr_trt.engines.nvidia.lower_loops import lower_loops
from ocr_trt.errors import ConversionError

from .helpers import check_does_not_fire, check_fires, evaluated, graph, ops, used

RNG = np.random.default_rng(3)
CONSTANTS = {
    "four": np.array(4), "fours": np.array([4]),
    "yes": np.array(True), "zero": np.array(0), "one": np.array(1),
    "start": np.zeros((2, 3), np.float32), "w": RNG.normal(0, 0.5, (3, 3)).astype(np.float32),
    "bound": np.array(1.5, np.float32), "axes": np.array([0, 1]), "half": np.float32(0.5),
}  # fmt: skip
LOOP = """
    agraph (float[2,3] x) => (float[A,B,C] y) {{
        k, final, {out} = Loop ({limit}, yes, zero, {start}) <body = step
            (int64 i, bool c, int64 n, float[2,3] s) =>
            (bool c2, int64 n2, float[2,3] s2, float[2,3] o) {{
                p = MatMul(s, w)
                q = Add(p, x)
                s2 = {after}
                n2 = Add(n, one)
                o = Neg(s2)
                {again}
            }}>
        {behind}
    }}
"""


def looping(**parts: str) -> ir.Model:
    """A step that is no known cell: it reads x, which is the same in all steps."""
    usual = {
        "limit": "four", "start": "start", "again": "c2 = Identity(c)", "after": "Selu(q)",
        "out": "y", "behind": "",
    }  # fmt: skip
    text = LOOP.format(**{**usual, **parts})
    model = graph(text, **used(text, CONSTANTS))
    fold_constants(model)
    return model


def test_closed_loops_that_read_the_same_value_have_different_names() -> None:
    second = """
        k3, final3, z = Loop (four, yes, zero, start) <body = other
            (int64 i3, bool c3, int64 n3, float[2,3] s3) =>
            (bool c4, int64 n4, float[2,3] s4, float[2,3] o4) {
                q3 = Add(s3, x)
                s4 = Sin(q3)
                n4 = Add(n3, one)
                o4 = Neg(s4)
                c4 = Identity(c3)
            }>
        y = Add(first, z)
    """
    check_fires(looping(out="first", behind=second), close_loops, atol=1e-6)


@pytest.mark.parametrize(
    "parts",
    [{}, {"limit": "fours"}, {"again": "c2 = Less(n2, four)", "limit": ""}, {"start": "x"}],
    ids=["limit", "limit of rank 1", "condition on a counter", "start depends on the image"],
)
def test_loop_is_closed(parts: dict[str, str]) -> None:
    model = looping(**parts)
    check_fires(model, close_loops, atol=1e-6)
    (loop,) = (node for node in model.graph if node.op_type == "Loop")
    assert loop.outputs[-1].shape == [4, 2, 3]
    own = {*body_of(loop).inputs, *(v for node in body_of(loop) for v in node.outputs)}
    read = [v for node in body_of(loop) for v in node.inputs]
    assert all(v in own or v.is_initializer() for v in read if v is not None)
    check_does_not_fire(model, close_loops)


def test_loop_that_stops_early_takes_all_steps() -> None:
    again = "m = ReduceMax <keepdims = 0> (s2, axes) c2 = Less(m, bound)"
    model = looping(again=again, start="x", after="Add(q, half)")
    before = ir.serde.deserialize_model(ir.to_proto(model))
    close_loops(model)
    lengths = set()
    for scale in (0.01, 1.0, 5.0):
        x = scale * np.abs(RNG.standard_normal((2, 3))).astype(np.float32)
        expected, found = evaluated(before, x), evaluated(model, x)
        lengths.add(len(expected))
        # TensorFlow's TensorArray holds zeros where nothing was written.
        padded = np.zeros_like(found)
        padded[: len(expected)] = expected
        np.testing.assert_allclose(found, padded, atol=1e-5)
    assert len(lengths) > 1


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"limit": "", "again": "m = ReduceMax <keepdims = 0> (s2, axes) c2 = Less(m, bound)"},
         "depends on the image"),
        ({"limit": ""}, "more than"),
    ],
)  # fmt: skip
def test_loops_without_an_end_are_refused(parts: dict[str, str], reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        close_loops(looping(**parts))


def test_closed_loop_keeps_a_free_batch_and_fp32() -> None:
    model = looping(out="o2", behind="y = Transpose <perm = [1, 0, 2]> (o2)")
    close_loops(model)
    x = RNG.standard_normal((5, 3)).astype(np.float32)
    expected = [evaluated(model, np.repeat(x[i : i + 1], 2, 0))[:1] for i in range(5)]
    assert free_batch(model).changed == 1
    name_values(model)
    np.testing.assert_allclose(evaluated(model, x), np.concatenate(expected), atol=1e-5)
    proto = ir.to_proto(model)
    half = autocast(proto, dict.fromkeys(float_tensors(proto), 1.0))
    assert any("Loop" in reason for reason in half.kept.values())
    lowered = ir.from_proto(lower_loops(proto))
    np.testing.assert_allclose(evaluated(lowered, x), np.concatenate(expected), atol=1e-5)


def test_results_of_loops_get_the_types_of_their_bodies() -> None:
    model = looping()
    (loop,) = (node for node in model.graph if node.op_type == "Loop")
    loop.outputs[0].type = ir.TensorType(ir.DataType.INT32)
    assert settle_loop_types(model).changed == 1
    assert loop.outputs[0].dtype == ir.DataType.INT64


BRANCHES = """
    agraph (float[2,3] x) => (float[A,B] y) {{
        m = ReduceMax <keepdims = 0> (x, axes)
        c = Less(m, bound)
        y = If (c) <
            then_branch = a () => (float[2,3] p) {{ p = MatMul(x, w) }},
            else_branch = b () => ({kind} q) {{ {other} }}
        >
    }}
"""


def test_branches_become_where() -> None:
    text = BRANCHES.format(kind="float[2,3]", other="r = Neg(x) q = Mul(r, half)")
    model = graph(text, **used(text, CONSTANTS))
    check_fires(model, inline_branches, atol=1e-6)
    assert (ops(model)["If"], ops(model)["Where"]) == (0, 1)


@pytest.mark.parametrize(
    ("kind", "then", "other"),
    [
        ("float[1]", "p = Constant <value_floats = [4.0]> ()", "q = Identity (three)"),
        ("float", "p = Constant <value_float = 4.0> ()", "q = Identity (half)"),
    ],
)
def test_branches_of_fewer_axes_than_the_condition(kind: str, then: str, other: str) -> None:
    """The condition has shape (1, 1); the result must not get its rank."""
    text = f"""
        agraph (float[2,3] x) => (float[A,B] y) {{
            m = ReduceMax(x, axes)
            c = Less(m, bound)
            s = If (c) <
                then_branch = a () => ({kind} p) {{ {then} }},
                else_branch = b () => ({kind} q) {{ {other} }}
            >
            y = Mul(x, s)
        }}
    """
    constants = {**CONSTANTS, "three": np.array([3], np.float32)}
    model = graph(text, **used(text, constants))
    fold_constants(model)  # constants of the branches become initializers
    check_fires(model, inline_branches, atol=1e-6)
    assert (ops(model)["If"], ops(model)["Where"]) == (0, 1)


def test_branches_of_different_shapes_stay() -> None:
    text = BRANCHES.format(kind="float[4,3]", other="q = Concat <axis = 0> (x, x)")
    check_does_not_fire(graph(text, **used(text, CONSTANTS)), inline_branches)
