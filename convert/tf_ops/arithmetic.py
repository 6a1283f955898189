"""Elementwise functions and sums.

    Expm1(x)         ->  Tanh(x / 2) (Exp(x) + 1)            exact near 0, unlike Exp(x) - 1
    Xdivy(x, y)      ->  Where(x = 0, 0, x / y)              and Xlogy, Xlog1py, MulNoNan
    Erfc(x)          ->  1 - Erf(x)                          less exact where Erfc is near 0
    FloorDiv(x, y)   ->  (x - Mod(x, y)) / y                 integers
    TFL_GELU(x)      ->  x (Erf(x / sqrt(2)) / 2 + 1/2),  or with Tanh if it is the approximate one

    BitwiseAnd(Bitcast(x), sign bit)  ->  Where(x < 0 or 1 / x < 0, sign bit, 0)

Keras' argmax computes the last one to tell -0 from 0. ``raise_activations`` later recognizes both
forms of GELU.
"""

from __future__ import annotations

import math

import numpy as np

from .emitter import Emitter, Rule, Tensor

_A = math.sqrt(2 / math.pi)
_B = 0.044715 * _A  # both from the tanh approximation of GELU (Hendrycks and Gimpel, 2016)

# Giles, "Approximating the erfinv function" (2010): polynomials in w - 2.5 for w < 5, and in
# sqrt(w) - 3 otherwise, with w = -log(1 - x^2). Highest power first.
_ERFINV_CENTER = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
    -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_ERFINV_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
    0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip


def _erfc(e: Emitter) -> Tensor:
    return 1 - e.op("Erf", e[0])


def _expm1(e: Emitter) -> Tensor:
    return e.op("Tanh", e[0] * 0.5) * (e.op("Exp", e[0]) + 1)


def _log1p(e: Emitter) -> Tensor:
    return e.op("Log", e[0] + 1)


def _xdivy(e: Emitter) -> Tensor:
    return e.where(e[0].equals(0), 0, e[0] / e[1])


def _xlogy(e: Emitter) -> Tensor:
    return e.where(e[0].equals(0), 0, e[0] * e.op("Log", e[1]))


def _xlog1py(e: Emitter) -> Tensor:
    return e.where(e[0].equals(0), 0, e[0] * e.op("Log", e[1] + 1))


def _mul_no_nan(e: Emitter) -> Tensor:
    return e.where(e[1].equals(0), 0, e[0] * e[1])


def _erfinv_of(x: Tensor) -> Tensor:
    e = x.emit

    def polynomial(coefficients: tuple[float, ...], at: Tensor) -> Tensor:
        value = at * coefficients[0] + coefficients[1]
        for coefficient in coefficients[2:]:
            value = value * at + coefficient
        return value

    w = -e.op("Log", (1 - x) * (1 + x))
    center = polynomial(_ERFINV_CENTER, w - 2.5)
    tail = polynomial(_ERFINV_TAIL, e.op("Sqrt", w) - 3.0)
    return x * e.where(w < 5.0, center, tail)


def _erfinv(e: Emitter) -> Tensor:
    return _erfinv_of(e[0])


def _ndtri(e: Emitter) -> Tensor:
    return _erfinv_of(e[0] * 2 - 1) * math.sqrt(2)


def _truncate_mod(e: Emitter) -> Tensor:
    # The sign of the result is that of the dividend, as in C.
    return e.op("Mod", e[0], e[1], fmod=1)


def _floor_mod(e: Emitter) -> Tensor | None:
    # On integers ONNX' Mod is floor modulo. tf2onnx computes it from Div, which truncates.
    return e.op("Mod", e[0], e[1], fmod=0) if e[0].dtype.kind in "iu" else None


def _floor_div(e: Emitter) -> Tensor | None:
    if e[0].dtype.kind not in "iu":
        return None
    return (e[0] - e.op("Mod", e[0], e[1], fmod=0)) / e[1]


def _left_shift(e: Emitter) -> Tensor | None:
    shift = e[1].value
    return None if shift is None else e[0] * e.constant(np.left_shift(np.ones_like(shift), shift))


def _right_shift(e: Emitter) -> Tensor | None:
    """Divide by a power of two, and round down: targets differ on negative numbers."""
    if (shift := e[1].value) is None or e[0].dtype.itemsize < 4:
        return None
    divisor = e.constant(np.left_shift(np.ones_like(shift), shift))
    return (e[0] - e.op("Mod", e[0], divisor, fmod=0)) / divisor


def _sign_bit(e: Emitter) -> Tensor | None:
    mask, source = e[1].value, e.graph.get_node_by_output(e[0].name)
    bit = np.iinfo(np.int32).min
    if mask is None or not (mask == bit).all() or source is None or source.type != "Bitcast":
        return None
    x = Tensor(e, source.input[0])
    if x.dtype != np.float32:
        return None
    negative = e.op("Or", x < 0, e.op("Reciprocal", x) < 0)
    return e.where(negative, e.constant(np.int32(bit)), e.constant(np.int32(0)))


def _bias_add(e: Emitter) -> Tensor | None:
    """Add a computed bias to the second axis; tf2onnx reshapes only constant ones."""
    if e.attribute("data_format", "NHWC") != "NCHW" or e[1].value is not None:
        return None
    rank = e.graph.get_rank(e[0].name)
    return e[0] + e.op("Reshape", e[1], (-1, *[1] * (rank - 2)))


def _identity(e: Emitter) -> Tensor:
    return e[0]


def _sum(e: Emitter) -> Tensor:
    return e.op("Sum", *(e[index] for index in range(len(e))))


def _reciprocal(e: Emitter) -> Tensor:
    return e.op("Reciprocal", e[0])


def _approximate_equal(e: Emitter) -> Tensor:
    return e.op("Abs", e[0] - e[1]) < float(e.attribute("tolerance", 1e-5))


def _l2_loss(e: Emitter) -> Tensor:
    return e.op("ReduceSumSquare", e[0], None, keepdims=0) * 0.5


def _euclidean_norm(e: Emitter) -> Tensor:
    axes = tuple(int(axis) for axis in e.constant_input(1, "axes").reshape(-1))
    keep = int(e.attribute("keep_dims", 0))
    return e.op("Sqrt", e.op("ReduceSumSquare", e[0], axes, keepdims=keep))


def _bucketize(e: Emitter) -> Tensor:
    boundaries = e.constant(np.array(e.attribute("boundaries", []), np.float32))
    x = e[0].cast(np.float32).unsqueeze(-1)
    above = e.op("GreaterOrEqual", x, boundaries)  # (..., number of boundaries)
    return e.op("ReduceSum", above.cast(np.int32), (-1,), keepdims=0)


def _tfl_gelu(e: Emitter) -> Tensor:
    x = e[0]
    if e.attribute("approximate", 0):
        curve = e.op("Tanh", x * (x * x * _B + _A))
    else:
        curve = e.op("Erf", x * math.sqrt(0.5))
    return x * (curve * 0.5 + 0.5)


RULES: dict[str, Rule] = {
    "AccumulateNV2": _sum,
    "ApproximateEqual": _approximate_equal,
    "BiasAdd": _bias_add,
    "BitwiseAnd": _sign_bit,
    "Bucketize": _bucketize,
    "Erfc": _erfc,
    "Erfinv": _erfinv,
    "EuclideanNorm": _euclidean_norm,
    "Expm1": _expm1,
    "FloorDiv": _floor_div,
    "FloorMod": _floor_mod,
    "GuaranteeConst": _identity,
    "Inv": _reciprocal,
    "L2Loss": _l2_loss,
    "LeftShift": _left_shift,
    "Log1p": _log1p,
    "Mod": _truncate_mod,
    "MulNoNan": _mul_no_nan,
    "Ndtri": _ndtri,
    "PreventGradient": _identity,
    "RightShift": _right_shift,
    "Snapshot": _identity,
    "TFL_GELU": _tfl_gelu,
    "TruncateMod": _truncate_mod,
    "Xdivy": _xdivy,
    "Xlog1py": _xlog1py,
    "Xlogy": _xlogy,
}
