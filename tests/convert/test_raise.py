"""raise_activations, raise_norms, raise_dense: regions are recognized by what they compute."""

from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.convert.passes.collapse_views import collapse_views
from ocr_trt.convert.passes.raise_activations import raise_activations
from ocr_trt.convert.passes.raise_dense import raise_dense
from ocr_trt.convert.passes.raise_norms import raise_norms

from .helpers import check_does_not_fire, check_fires, graph, ops, used

RNG = np.random.default_rng(4)
F = np.float32


def weights(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


VERSIONS = {
    "Gelu": [
        "d = Div(x, r) e = Erf(d) p = Add(e, one) h = Mul(x, half) y = Mul(h, p)",
        "h = Mul(half, x) n = Neg(x) s = Mul(n, q) e = Erf(s) c = Sub(one, e) y = Mul(h, c)",
        "s = Mul(x, q) e = Erf(s) p = Add(one, e) m = Mul(x, p) y = Mul(m, half)",
        "c = Pow(x, three) k = Mul(c, k0) i = Add(x, k) s = Mul(i, k1) t = Tanh(s) "
        "p = Add(t, one) h = Mul(half, x) y = Mul(h, p)",
    ],
    "HardSwish": [
        "a = Add(x, three) c = Clip(a, zero, six) m = Mul(x, c) y = Div(m, six)",
        "h = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x) y = Mul(x, h)",
    ],
    "HardSigmoid": [
        "a = Add(x, three) c = Clip(a, zero, six) y = Div(c, six)",
        "m = Mul(x, fifth) a = Add(m, half) y = Clip(a, zero, one)",
    ],
    "Mish": ["s = Softplus(x) t = Tanh(s) y = Mul(x, t)"],
}
CONSTANTS = {
    "half": F(0.5), "one": F(1), "zero": F(0),
    "three": F(3), "twenty": F(20), "six": F(6), "r": F(np.sqrt(2)),
    "q": F(np.sqrt(0.5)), "k0": F(0.044715), "k1": F(np.sqrt(2 / np.pi)),
    "fifth": F(0.2),
}  # fmt: skip


def test_activation_with_constants_of_rank_four_is_raised() -> None:
    body = "a = Add(x, three) c = Clip(a, zero, six) m = Mul(x, c) y = Mul(m, sixth)"
    text = f"agraph (float[1,2,5,5] x) => (float[1,2,5,5] y) {{ {body} }}"
    constants = {**CONSTANTS, "three": F(3).reshape(1, 1, 1, 1), "sixth": F(1 / 6).reshape(1, 1)}
    model = graph(text, **used(body, constants))
    check_fires(model, raise_activations, atol=2e-6)
    assert ops(model) == {"HardSwish": 1}


def elementwise(body: str) -> str:
    return f"agraph (float[2,50] x) => (float[2,50] y) {{ {body} }}"


def test_activation_behind_a_learned_scale_is_raised() -> None:
    body = (
        "s = Mul(x, half) b = Add(s, one) a = Add(b, three) c = Clip(a, zero, six) m = Mul(b, c) "
        "d = Div(m, six) t = Mul(d, half) y = Add(t, one)"
    )
    model = graph(elementwise(body), **used(body, CONSTANTS))
    check_fires(model, raise_activations, atol=2e-6)
    assert ops(model) == {"HardSwish": 1, "Mul": 2, "Add": 2}


@pytest.mark.parametrize(
    ("op", "body"), [(op, body) for op, bodies in VERSIONS.items() for body in bodies]
)
def test_activation_is_raised(op: str, body: str) -> None:
    model = graph(elementwise(body), **used(body, CONSTANTS))
    check_fires(model, raise_activations, atol=2e-6)
    assert ops(model) == {op: 1}


@pytest.mark.parametrize(
    "body",
    [
        "d = Div(x, r) e = Erf(d) p = Add(e, one) h = Mul(x, q) y = Mul(h, p)",
        "s = Sigmoid(x) y = Mul(x, s)",
        "t = Tanh(x) y = Mul(x, t)",
        "s = Softplus(x) t = Tanh(s) m = Mul(x, t) y = Clip(m, , twenty)",
        "c = Clip(x, , twenty) s = Softplus(c) t = Tanh(s) y = Mul(c, t)",
    ],
    ids=[
        "a wrong factor",
        "swish stays, targets fuse it",
        "no known function",
        "clipped behind",
        "clipped in front",
    ],
)
def test_other_functions_stay(body: str) -> None:
    constants = used(body, CONSTANTS)
    model = graph(elementwise(body), **constants)
    if "twenty" not in body:
        check_does_not_fire(model, raise_activations)
        return
    check_fires(model, raise_activations, atol=2e-6)
    assert ops(model) == {"Mish": 1, "Clip": 1}


def test_elementwise_function_without_an_op_is_reported() -> None:
    body = "d = Div(x, r) e = Erf(d) p = Add(e, one) h = Mul(x, q) y = Mul(h, p)"
    constants = used(body, CONSTANTS)
    (skip,) = check_does_not_fire(graph(elementwise(body), **constants), raise_activations).skipped
    assert skip.value == "y"
    assert "elementwise function" in skip.reason


def test_activation_whose_inside_is_read_stays() -> None:
    body = "d = Div(x, r) e = Erf(d) p = Add(e, one) h = Mul(x, half) y = Mul(h, p) z = Relu(p)"
    text = f"agraph (float[2,50] x) => (float[2,50] y, float[2,50] z) {{ {body} }}"
    constants = used(body, CONSTANTS)
    check_does_not_fire(graph(text, **constants), raise_activations)


NORMS = {
    "moments": (
        "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) "
        "e = Add(v, eps) s = Sqrt(e) r = Reciprocal(s) f = Mul(r, g) a = Mul(x, f) "
        "n = Neg(m) o = Mul(n, f) p = Add(o, b) y = Add(a, p)"
    ),
    "plain": (
        "m = ReduceMean(x, last) d = Sub(x, m) q = Pow(d, two) v = ReduceMean(q, last) "
        "e = Add(v, eps) s = Sqrt(e) n = Div(d, s) a = Mul(n, g) y = Add(a, b)"
    ),
    "without parameters": (
        "m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) "
        "e = Add(v, eps) s = Sqrt(e) y = Div(d, s)"
    ),
}


def norm_graph(body: str, **change: np.ndarray):
    constants = {
        "last": np.array([-1]), "eps": F(1e-3), "two": F(2), "g": weights(16), "b": weights(16),
        **change,
    }  # fmt: skip
    text = f"agraph (float[2,7,16] x) => (float[2,7,16] y) {{ {body} }}"
    return graph(text, **used(body, constants))


@pytest.mark.parametrize("name", ["moments", "plain", "without parameters"])
def test_layer_norm_is_raised(name: str) -> None:
    model = norm_graph(NORMS[name])
    check_fires(model, raise_norms, atol=5e-5)
    assert ops(model) == {"LayerNormalization": 1}
    (node,) = model.graph
    assert node.attributes["epsilon"].as_float() == pytest.approx(1e-3)


def test_layer_norm_keeps_the_exact_parameters() -> None:
    scale, bias = weights(16), weights(16)
    model = norm_graph(NORMS["plain"], g=scale, b=bias)
    raise_norms(model)
    (node,) = model.graph
    assert np.array_equal(node.inputs[1].const_value.numpy(), scale)
    np.testing.assert_allclose(node.inputs[2].const_value.numpy(), bias, atol=1e-7)


@pytest.mark.parametrize("name", ["moments", "plain", "without parameters"])
def test_layer_norm_over_channels_is_raised_between_transposes(name: str) -> None:
    change = {"last": np.array([1]), "g": weights(7, 1), "b": weights(7, 1)}
    model = norm_graph(NORMS[name], **change)
    check_fires(model, raise_norms, atol=5e-5)
    assert ops(model) == {"LayerNormalization": 1, "Transpose": 2}


def test_scale_along_another_axis_stays_behind_the_layer_norm() -> None:
    model = norm_graph(NORMS["plain"], last=np.array([1]))
    check_fires(model, raise_norms, atol=5e-5)
    assert ops(model) == {"LayerNormalization": 1, "Transpose": 2, "Mul": 1, "Add": 1}


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({}, NORMS["plain"].replace("d = Sub(x, m)", "d = Add(x, m)")),
        (
            {},
            NORMS["plain"].replace("q = Pow(d, two)", "q = Mul(x, d)").replace("Sqrt(e)", "Abs(e)"),
        ),
    ],
    ids=["plus the mean", "no root"],
)
def test_other_normalizations_stay(change: dict[str, np.ndarray], body: str) -> None:
    check_does_not_fire(norm_graph(body, **change), raise_norms)


def test_region_with_a_root_that_does_not_normalize_is_reported() -> None:
    body = NORMS["plain"].replace("d = Sub(x, m)", "d = Add(x, m)")
    outcome = check_does_not_fire(norm_graph(body), raise_norms)
    (skip,) = outcome.skipped
    assert skip.value == "y"
    assert "not a normalization over one axis" in skip.reason


def test_gemm_on_rows_becomes_matmul_on_the_tensor() -> None:
    model = graph(
        """
        agraph (float[2,5,8] x) => (float[2,5,4] y) {
            r = Reshape(x, rows)
            g = Gemm <transB = 1> (r, w, b)
            y = Reshape(g, back)
        }
        """,
        rows=np.array([10, 8]), back=np.array([2, 5, 4]), w=weights(4, 8), b=weights(4),
    )  # fmt: skip
    check_fires(model, raise_dense, atol=1e-5)
    collapse_views(model)
    assert ops(model) == {"MatMul": 1, "Add": 1}


def test_alpha_and_beta_of_gemm_are_kept() -> None:
    text = (
        "agraph (float[5,8] x) => (float[5,4] y) { y = Gemm <alpha = 0.5, beta = 3.0> (x, w, b) }"
    )
    model = graph(text, w=weights(8, 4), b=weights(4))
    check_fires(model, raise_dense, atol=1e-5)
    assert ops(model) == {"MatMul": 1, "Add": 1}


def test_batched_product_gets_its_heads_back() -> None:
    model = graph(
        """
        agraph (float[2,4,5,8] a, float[2,4,8,5] b) => (float[2,4,5,5] y) {
            p = Reshape(a, left)
            q = Reshape(b, right)
            m = MatMul(p, q)
            y = Reshape(m, back)
        }
        """,
        left=np.array([8, 5, 8]), right=np.array([8, 8, 5]), back=np.array([2, 4, 5, 5]),
    )  # fmt: skip
    check_fires(model, raise_dense, atol=1e-5)
    collapse_views(model)
    assert ops(model) == {"MatMul": 1}


@pytest.mark.parametrize("product", ["MatMul(w, x)", "MatMul(x, each)", "MatMul(one, x)"])
def test_product_with_a_side_that_it_broadcasts_keeps_its_axes(product: str) -> None:
    """A constant (M, K) on the left, or one (3, K, N) on the right, has no axes to split."""
    text = f"""
        agraph (float[6,8,8] x) => (float[2,3,8,8] y) {{ m = {product} y = Reshape(m, to) }}
    """
    constants = {
        "to": np.array([2, 3, 8, 8]),
        "w": weights(8, 8),
        "each": weights(1, 8, 8),
        "one": weights(1, 8, 8),
    }
    check_does_not_fire(graph(text, **used(text, constants)), raise_dense)


@pytest.mark.parametrize("behind", ["y = MatMul(r, w)", "y = Add(r, b)"])
def test_reshape_that_splits_axes_stays_in_front_of_a_layer(behind: str) -> None:
    """It moves up only; moved down, it would move up again without end."""
    text = f"agraph (float[2,10,8] x) => (float[A,B,C,D] y) {{ r = Reshape(x, to) {behind} }}"
    constants = {"to": np.array([2, 2, 5, 8]), "w": weights(8, 4), "b": weights(8)}
    check_does_not_fire(graph(text, **used(text, constants)), raise_dense)


def test_gemm_with_a_transposed_left_side_stays() -> None:
    text = "agraph (float[8,5] x) => (float[5,4] y) { y = Gemm <transA = 1> (x, w) }"
    check_does_not_fire(graph(text, w=weights(8, 4)), raise_dense)


def test_reshape_that_changes_the_last_axis_stays() -> None:
    text = """
        agraph (float[2,5,8] x) => (float[20,3] y) {
            r = Reshape(x, rows)
            y = MatMul(r, w)
        }
    """
    check_does_not_fire(graph(text, rows=np.array([20, 4]), w=weights(4, 3)), raise_dense)
