"""fuse_attention, split_heads, raise_where: one product for query, key and value; safe masks."""

from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.convert.passes.fuse_attention import fuse_attention
from ocr_trt.convert.passes.raise_where import raise_where
from ocr_trt.convert.passes.split_heads import split_heads

from .helpers import check_does_not_fire, check_fires, graph, ops, used

RNG = np.random.default_rng(9)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.4, shape).astype(np.float32)


CONSTANTS = {
    "wq": weights(6, 8), "wk": weights(6, 8), "wv": weights(6, 8), "bq": weights(2, 4),
    "bk": weights(8), "s": np.float32(0.5), "two": np.float32(2), "cut": np.array([3, 5, 2, 4]),
    "mask": weights(1, 1, 5, 5), "keep": RNG.random((3, 1, 5, 5)) > 0.3,
    "low": np.float32(-1e9), "late": weights(5, 1),
}  # fmt: skip
QUERY = "q0 = MatMul(x, wq) q1 = Reshape(q0, cut) q2 = Add(q1, bq) "
KEY = "k0 = MatMul(x, wk) k1 = Add(bk, k0) k2 = Reshape(k1, cut) "
VALUE = "v0 = MatMul(x, wv) v2 = Reshape(v0, cut) "
TURN = (
    "q = Transpose <perm = [0, 2, 1, 3]> (q2) k = Transpose <perm = [0, 2, 3, 1]> (k2) "
    "v = Transpose <perm = [0, 2, 1, 3]> (v2) "
)
PLAIN = QUERY + KEY + VALUE + TURN + "a = MatMul(q, k) "


def attention(body: str, inputs: str = "float[3,5,6] x") -> tuple[str, dict[str, np.ndarray]]:
    return f"agraph ({inputs}) => (float[3,2,5,4] y) {{ {body} }}", used(body, CONSTANTS)


@pytest.mark.parametrize(
    "core",
    [
        "p = Softmax(a) y = MatMul(p, v)",
        "b = Mul(a, s) p = Softmax(b) y = MatMul(p, v)",
        "b = Div(a, two) p = Softmax(b) y = MatMul(p, v)",
        "b = Mul(s, a) c = Add(mask, b) p = Softmax(c) y = MatMul(p, v)",
        "b = Mul(a, s) c = Where(keep, b, low) p = Softmax(c) y = MatMul(p, v)",
    ],
    ids=["bare", "scaled", "divided", "mask added", "mask chosen by"],
)
def test_three_products_become_one(core: str) -> None:
    text, constants = attention(PLAIN + core)
    model = graph(text, **constants)
    check_fires(model, fuse_attention, atol=1e-6)
    found = ops(model)
    assert (found["MatMul"], found["Transpose"], found["Split"]) == (3, 2, 1)
    assert not found["Mul"] + found["Div"], "the scale is in the weights"


@pytest.mark.parametrize(
    ("body", "inputs", "reason"),
    [
        (
            PLAIN.replace("MatMul(x, wk)", "MatMul(z, wk)") + "p = Softmax(a) y = MatMul(p, v)",
            "float[3,5,6] x, float[3,5,6] z",
            "different tensors",
        ),
        (
            PLAIN + "u = Relu(q2) p = Softmax(a) w = MatMul(p, v) "
            "r = Transpose <perm = [0, 2, 1, 3]> (u) y = Add(w, r)",
            "float[3,5,6] x",
            "constant weights",
        ),
        (
            PLAIN.replace("q0 = MatMul(x, wq)", "p0 = MatMul(x, wq) q0 = Add(p0, late)")
            + "p = Softmax(a) y = MatMul(p, v)",
            "float[3,5,6] x",
            "constant weights",
        ),
        (
            PLAIN + "b = Mul(a, s) p = Softmax(b) w = MatMul(p, v) r = Relu(a) "
            "n = MatMul(r, v) y = Add(w, n)",
            "float[3,5,6] x",
            "two matrix products",
        ),
        ("t = Reshape(x, cut5) y = Softmax(t)", "float[3,5,6] x", "two matrix products"),
    ],
    ids=[
        "attention to another tensor",
        "query is read elsewhere",
        "bias that differs by step",
        "unscaled scores are read elsewhere",
        "no attention",
    ],
)
def test_other_softmaxes_stay_and_are_reported(body: str, inputs: str, reason: str) -> None:
    text, constants = attention(body, inputs)
    if "cut5" in body:
        constants["cut5"] = np.array([3, 5, 2, 3])
        text = text.replace("[3,2,5,4] y", "[3,5,2,3] y")
    outcome = check_does_not_fire(graph(text, **constants), fuse_attention)
    assert reason in outcome.skipped[0].reason


def test_tokens_of_an_image_are_fused_without_flattening_them_first() -> None:
    text, constants = attention(PLAIN + "p = Softmax(a) y = MatMul(p, v)", "float[3,1,5,6] x")
    model = graph(text, **constants)
    check_fires(model, fuse_attention, atol=1e-6)
    assert (ops(model)["MatMul"], ops(model)["Split"]) == (3, 1)


FIVE = "r = Reshape(x, cut) t = Transpose <perm = [2, 0, 3, 1, 4]> (r) "
SPLIT = (
    "a, b, c = Split <axis = 0, num_outputs = 3> (t) "
    "q = Squeeze(a, zero) k = Squeeze(b, zero) v = Squeeze(c, zero) "
)
SLICES = (
    "a = Slice(t, zero, one, zero, one) b = Slice(t, one, two, zero) c = Slice(t, last, end, zero) "
    "q = Squeeze(a, zero) k = Reshape(b, flat) v = Squeeze(c, zero) "
)
GATHERS = (
    "q = Gather(t, first) b = Gather(t, one) c = Gather(t, last) "
    "k = Squeeze(b, zero) v = Squeeze(c, zero) "
)
HEADS = {
    "cut": np.array([3, 5, 3, 2, 4]), "flat": np.array([3, 2, 5, 4]), "zero": np.array([0]),
    "one": np.array([1]), "two": np.array([2]), "last": np.array([-1]), "first": np.array(0),
    "end": np.array([2**31 - 1]),
}  # fmt: skip


@pytest.mark.parametrize("parts", [SPLIT, SLICES, GATHERS], ids=["split", "slices", "gathers"])
def test_one_product_in_five_dimensions_is_split_in_four(parts: str) -> None:
    body = FIVE + parts + "n = Neg(v) s = Mul(q, k) y = Add(s, n)"
    text = f"agraph (float[3,5,24] x) => (float[3,2,5,4] y) {{ {body} }}"
    model = graph(text, **used(body, HEADS))
    check_fires(model, split_heads, atol=0)
    assert ops(model) == {"Reshape": 1, "Transpose": 1, "Split": 1, "Neg": 1, "Mul": 1, "Add": 1}


@pytest.mark.parametrize(
    "change",
    [
        ("Slice(t, last, end, zero)", "Slice(t, one, end, one)"),
        ("q = Squeeze(a, zero)", "u = Relu(a) q = Squeeze(u, zero)"),
    ],
    ids=["slice of another axis", "part is read before it is squeezed"],
)
def test_other_slices_of_five_dimensions_stay(change: tuple[str, str]) -> None:
    body = FIVE + SLICES.replace(*change).replace(
        "v = Squeeze(c, zero)", "v = ReduceSum <keepdims = 0> (c, zero)"
    )
    body += "n = Neg(v) s = Mul(q, k) y = Add(s, n)"
    text = f"agraph (float[3,5,24] x) => (float[3,2,5,4] y) {{ {body} }}"
    text = text.replace("[3,2,5,4] y", "[3,N,5,4] y")
    check_does_not_fire(graph(text, **used(body, HEADS)), split_heads)


LAST = """
    a, b, c = Split <axis = -1, num_outputs = 3> (x)
    d = Reshape(a, cut) e = Reshape(b, cut) f = Reshape(c, {cut})
    q = Transpose <perm = [0, 2, 1, 3]> (d)
    k = Transpose <perm = [0, 2, 3, 1]> (e)
    v = Transpose <perm = [0, 2, 1, 3]> (f)
    s = MatMul(q, k) {more}
"""


def test_parts_of_the_last_axis_are_split_along_the_heads() -> None:
    body = LAST.format(cut="cut", more="y = MatMul(s, v)")
    text = f"agraph (float[3,5,24] x) => (float[3,2,5,4] y) {{ {body} }}"
    model = graph(text, cut=np.array([3, 5, 2, 4]))
    check_fires(model, split_heads, atol=0)
    assert ops(model) == {"Reshape": 1, "Transpose": 2, "Split": 1, "MatMul": 2}


@pytest.mark.parametrize(
    ("cut", "more"),
    [("other", "n = Neg(v) y = Add(s, one)"), ("cut", "n = Neg(b) y = Add(s, one)")],
)
def test_parts_that_differ_or_are_read_elsewhere_stay(cut: str, more: str) -> None:
    body = LAST.format(cut=cut, more=more)
    text = f"agraph (float[3,5,24] x) => (float[3,2,5,5] y) {{ {body} }}"
    constants = {
        "cut": np.array([3, 5, 2, 4]),
        "other": np.array([3, 5, 4, 2]),
        "one": np.float32(1),
    }
    check_does_not_fire(graph(text, **used(body, constants)), split_heads)


CHOICE = """
    agraph (float[2,4] x, float[2,4] z) => (float[2,4] y) {{
        c = Greater(z, zero)
        n = Not(c)
        p = Cast <to = 1> (c)
        q = Cast <to = 1> (n)
        {body}
    }}
"""


@pytest.mark.parametrize(
    "body",
    ["a = Mul(p, x) b = Mul(z, q) y = Add(a, b)", "a = Mul(x, p) b = Mul(q, z) y = Add(b, a)"],
)
def test_sum_of_masked_products_becomes_where(body: str) -> None:
    model = graph(CHOICE.format(body=body), zero=np.float32(0))
    check_fires(model, raise_where, atol=0)
    assert ops(model) == {"Greater": 1, "Where": 1}


def test_sum_of_products_with_one_mask_stays() -> None:
    body = "a = Mul(p, x) b = Mul(p, z) d = Add(a, b) y = Add(d, q)"
    check_does_not_fire(graph(CHOICE.format(body=body), zero=np.float32(0)), raise_where)
