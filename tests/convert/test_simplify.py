"""fold_constants, collapse_views, fold_affine: each fires, stays, keeps the numbers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from ocr_trt.convert.passes.collapse_views import collapse_views
from ocr_trt.convert.passes.fold_affine import fold_affine
from ocr_trt.convert.passes.fold_constants import fold_constants

from .helpers import check_does_not_fire, check_fires, graph, ops

RNG = np.random.default_rng(3)


def weights(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_shape_arithmetic_folds_even_through_split() -> None:
    model = graph("""
        agraph (float[2,3,4] x) => (float[2,12] y) {
            s = Shape(x)
            a, b, c = Split <axis = 0, num_outputs = 3> (s)
            bc = Mul(b, c)
            to = Concat <axis = 0> (a, bc)
            y = Reshape(x, to)
        }
    """)
    check_fires(model, fold_constants, atol=0)
    assert ops(model) == {"Reshape": 1}


def test_uneven_split_of_a_constant_leaves_the_rest_to_the_last_part() -> None:
    # 7 numbers in 3 parts are 3, 3 and 1, and not 3, 2 and 2 as NumPy divides them.
    model = graph(
        """
        agraph (float[3] x) => (float[3] y, float[1] z) {
            a, b, c = Split <axis = -1, num_outputs = 3> (w)
            ab = Mul(a, b)
            y = Mul(x, ab)
            z = Relu(c)
        }
        """,
        w=np.arange(1, 8, dtype=np.float32),
    )
    check_fires(model, fold_constants, atol=0)
    assert "Split" not in ops(model)


def test_nothing_to_fold() -> None:
    check_does_not_fire(
        graph("agraph (float[2] x) => (float[2] y) { y = Relu(x) }"), fold_constants
    )


def test_zeros_that_pytorch_gives_an_lstm_are_folded() -> None:
    text = """agraph (float[2,3] x) => (float[2,3] y) {
        s = Shape(x) z = ConstantOfShape <value = float[1] {2.5}> (s) y = Mul(x, z) }"""
    model = graph(text)
    check_fires(model, fold_constants, atol=0)
    assert ops(model) == {"Mul": 1}


def test_transposes_that_undo_each_other_disappear() -> None:
    model = graph("""
        agraph (float[2,3,4,5] x) => (float[2,3,4,5] y) {
            a = Transpose <perm = [0, 2, 3, 1]> (x)
            b = Transpose <perm = [0, 3, 1, 2]> (a)
            y = Relu(b)
        }
    """)
    check_fires(model, collapse_views, atol=0)
    assert ops(model) == {"Relu": 1}


def test_chain_of_reshapes_becomes_one() -> None:
    model = graph(
        """
        agraph (float[2,12] x) => (float[4,6] y) {
            a = Unsqueeze(x, one)
            b = Reshape(a, four)
            c = Squeeze(b, zero)
            y = Reshape(c, to)
        }
        """,
        one=np.array([1]),
        four=np.array([1, 4, 3, 2]),
        zero=np.array([0]),
        to=np.array([4, 6]),
    )
    check_fires(model, collapse_views, atol=0)
    assert ops(model) == {"Reshape": 1}


def test_shared_part_of_a_chain_stays() -> None:
    model = graph("""
        agraph (float[2,3,4] x) => (float[2,3,4] y, float[3,2,4] z) {
            a = Transpose <perm = [1, 0, 2]> (x)
            b = Transpose <perm = [1, 0, 2]> (a)
            y = Relu(b)
            z = Relu(a)
        }
    """)
    check_fires(model, collapse_views, atol=0)
    assert ops(model) == {"Transpose": 1, "Relu": 2}


def test_shortest_chain_stays() -> None:
    model = graph(
        """
        agraph (float[2,80,12] x) => (float[2,4,80,3] y) {
            a = Reshape(x, heads)
            y = Transpose <perm = [0, 2, 1, 3]> (a)
        }
        """,
        heads=np.array([2, 80, 4, 3]),
    )
    check_does_not_fire(model, collapse_views)


CONV = """
    agraph (float[1,3,8,8] x) => (float[1,4,6,6] y) {{
        a = Conv(x, w)
        {behind}
    }}
"""


@pytest.mark.parametrize(
    ("behind", "constants"),
    [
        ("y = Mul(a, s)", {"s": weights(4, 1, 1)}),
        ("y = Mul(s, a)", {"s": weights(1, 4, 1, 1)}),
        ("y = Div(a, s)", {"s": np.float32(3.0)}),
        ("y = Add(a, s)", {"s": weights(4, 1, 1)}),
        ("y = Sub(a, s)", {"s": weights(4, 1, 1)}),
        ("y = Sub(s, a)", {"s": weights(4, 1, 1)}),
        ("m = Mul(a, s) y = Add(m, t)", {"s": weights(4, 1, 1), "t": weights(1)}),
        (
            "y = BatchNormalization <epsilon = 0.01> (a, s, t, m, v)",
            {"s": weights(4), "t": weights(4), "m": weights(4), "v": np.abs(weights(4))},
        ),
    ],
    ids=["mul", "mul first", "div", "add", "sub", "sub from", "mul add", "batch norm"],
)
def test_affine_folds_into_conv(behind: str, constants: dict[str, np.ndarray]) -> None:
    model = graph(CONV.format(behind=behind), w=weights(4, 3, 3, 3), **constants)
    check_fires(model, fold_affine, atol=2e-5)
    assert ops(model) == {"Conv": 1}


def test_affine_folds_into_deconvolution_with_bias() -> None:
    model = graph(
        """
        agraph (float[1,3,4,4] x) => (float[1,5,8,8] y) {
            a = ConvTranspose <strides = [2, 2]> (x, w, b)
            m = Mul(a, s)
            y = Add(m, t)
        }
        """,
        w=weights(3, 5, 2, 2), b=weights(5), s=weights(5, 1, 1), t=weights(5, 1, 1),
    )  # fmt: skip
    check_fires(model, fold_affine, atol=2e-5)
    assert ops(model) == {"ConvTranspose": 1}


def test_scale_folds_into_matmul_but_its_bias_stays() -> None:
    model = graph(
        """
        agraph (float[2,5,3] x) => (float[2,5,4] y) {
            a = MatMul(x, w)
            m = Mul(a, s)
            y = Add(m, t)
        }
        """,
        w=weights(3, 4), s=weights(4), t=weights(4),
    )  # fmt: skip
    check_fires(model, fold_affine, atol=2e-5)
    assert ops(model) == {"MatMul": 1, "Add": 1}


@pytest.mark.parametrize(
    ("behind", "constants"),
    [
        ("y = Mul(a, s)", {"s": weights(6, 6)}),
        ("y = Div(s, a)", {"s": np.float32(3.0)}),
        ("y = Mul(a, a)", {}),
        ("b = Relu(a) y = Mul(b, s)", {"s": weights(4, 1, 1)}),
    ],
    ids=["varies over pixels", "divided by", "with itself", "not straight behind"],
)
def test_other_maps_stay(behind: str, constants: dict[str, np.ndarray]) -> None:
    model = graph(CONV.format(behind=behind), w=weights(4, 3, 3, 3), **constants)
    check_does_not_fire(model, fold_affine)


def test_conv_with_a_second_reader_stays() -> None:
    text = """
        agraph (float[1,3,8,8] x) => (float[1,4,6,6] y, float[1,4,6,6] z) {
            a = Conv(x, w)
            y = Mul(a, s)
            z = Relu(a)
        }
    """
    check_does_not_fire(graph(text, w=weights(4, 3, 3, 3), s=weights(4, 1, 1)), fold_affine)


def test_rules_keep_no_state_between_models() -> None:
    kernel, scale = weights(4, 3, 3, 3), weights(4, 1, 1)

    def fresh() -> ir.Model:
        return graph(CONV.format(behind="y = Mul(a, s)"), w=kernel, s=scale)

    first, second = fresh(), fresh()
    fold_affine(first)
    fold_affine(second)
    assert ir.to_proto(first) == ir.to_proto(second)
