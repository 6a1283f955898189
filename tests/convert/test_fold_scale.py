"""fold_scale: an affine map in front of a layer goes into its weights, or stays with a reason."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from ocr_trt.convert.passes.fold_affine import fold_affine
from ocr_trt.convert.passes.fold_scale import fold_scale

from .helpers import check_does_not_fire, check_fires, graph, ops, used

RNG = np.random.default_rng(8)
ARRAYS = {
    "w": RNG.standard_normal((6, 4, 3, 3)), "grouped": RNG.standard_normal((6, 2, 3, 3)),
    "up": RNG.standard_normal((4, 6, 2, 2)), "dense": RNG.standard_normal((5, 7)),
    "b": RNG.standard_normal(6), "s": RNG.uniform(0.5, 2, (4, 1, 1)),
    "t": RNG.normal(size=(4, 1, 1)),
    "one": np.float32(0.5), "tiny": np.float32(1e-5), "rows": RNG.normal(size=(1, 1, 6, 1)),
    "last": RNG.uniform(0.5, 2, 5),
}  # fmt: skip
PADDED = "y = Conv <pads = [1, 1, 1, 1]> (a, w, b)"


def model_of(body: str) -> ir.Model:
    arrays = {name: np.float32(array) for name, array in used(body, ARRAYS).items()}
    return graph(f"agraph (float[2,4,6,5] x) => (float[A,B,C,D] y) {{ {body} }}", **arrays)


FIRES = {
    "a factor per channel": (f"a = Mul(x, s) {PADDED}", {"Conv": 1}),
    "one factor": (f"a = Mul(one, x) {PADDED}", {"Conv": 1}),
    "a divisor": (f"a = Div(x, s) {PADDED}", {"Conv": 1}),
    "groups": ("a = Mul(x, s) y = Conv <group = 2> (a, grouped, b)", {"Conv": 1}),
    "deconvolution": ("a = Mul(x, s) y = ConvTranspose <strides = [2, 2]> (a, up)",
                      {"ConvTranspose": 1}),
    "matmul": ("a = Mul(x, last) y = MatMul(a, dense)", {"MatMul": 1}),
    "a shift where nothing is padded": ("a = Add(x, t) y = Conv(a, w)", {"Conv": 1}),
    "scale and shift where nothing is padded": (
        "m = Mul(x, s) a = Sub(m, t) y = Conv(a, w, b)", {"Conv": 1}),
    "shift and scale": (f"m = Add(x, t) a = Mul(m, s) {PADDED}", {"Add": 1, "Conv": 1}),
    "scale and shift, padded": (f"m = Mul(x, s) a = Add(m, t) {PADDED}", {"Add": 1, "Conv": 1}),
    "scale and shift before a deconvolution": (
        "m = Mul(x, s) a = Add(m, t) y = ConvTranspose(a, up)", {"Add": 1, "ConvTranspose": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("body", "left"), FIRES.values(), ids=FIRES)
def test_scale_goes_into_the_weights(body: str, left: dict[str, int]) -> None:
    model = model_of(body)
    check_fires(model, fold_scale, atol=2e-5)
    assert ops(model) == left


STAYS = {
    "a shift where zeros are padded": f"a = Add(x, t) {PADDED}",
    "SAME pads": 'a = Add(x, t) y = Conv <auto_pad = "SAME_UPPER"> (a, w)',
    "a factor that is not per channel": f"a = Mul(x, rows) {PADDED}",
    "the scaled value is read twice":
        "a = Mul(x, s) c = Conv <pads = [1, 1, 1, 1]> (a, w) y = Concat <axis = 1> (c, a)",
    "a square": f"a = Mul(x, x) {PADDED}",
    "nothing in front": "y = Conv(x, w)",
    "it grows by broadcasting": "n = ReduceMean<keepdims = 1>(x) a = Mul(n, s) y = Relu(a)",
}  # fmt: skip


@pytest.mark.parametrize("body", STAYS.values(), ids=STAYS)
def test_what_would_change_the_numbers_stays(body: str) -> None:
    assert check_does_not_fire(model_of(body), fold_scale).skipped == ()


def test_norm_over_another_axis_stays() -> None:
    text = """agraph (float[2,5,5] x) => (float[A,B,C] y) {
        n = BatchNormalization (x, last, zero, zero, one5) m = MatMul(n, dense)
        y = BatchNormalization (m, last, zero, zero, one5) }"""
    arrays = {"zero": np.zeros(5), "one5": np.ones(5), "last": ARRAYS["last"]}
    arrays["dense"] = RNG.standard_normal((5, 5))
    model = graph(text, **{name: np.float32(array) for name, array in arrays.items()})
    check_does_not_fire(model, fold_scale)
    check_does_not_fire(model, fold_affine)


def test_division_by_zero_stays() -> None:
    text = "agraph (float[2,4,6,5] x) => (float[A,B,C,D] y) { a = Div(x, z) y = Conv(a, w) }"
    check_does_not_fire(
        graph(text, z=np.zeros((4, 1, 1), np.float32), w=np.float32(ARRAYS["w"])), fold_scale
    )


def test_weights_too_small_for_float16_stay() -> None:
    outcome = check_does_not_fire(model_of(f"a = Mul(x, tiny) {PADDED}"), fold_scale)
    (skip,) = outcome.skipped
    assert skip.value == "y"
    assert "too small" in skip.reason
