"""Complex tensors as pairs of real tensors: ONNX has no ops on complex numbers.

    z = x + i y                ->  (x, y)
    Reshape(z), Concat(z, w)   ->  the same op on both parts
    z w                        ->  (x u - y v, x v + y u)

A part that is known to be zero, such as the imaginary part of a real number, is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .emitter import Emitter, RefusalError, Rule, Tensor


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A complex tensor."""

    real: Tensor
    imag: Tensor | None
    """None: zero."""

    @property
    def imaginary(self) -> Tensor:
        """The imaginary part, zero or not."""
        return self.imag if self.imag is not None else self.real * 0.0


ComplexRule = Callable[[Emitter, "Pairs"], "Pair | Tensor"]


class Pairs:
    """The complex tensors of one export, by name."""

    def __init__(self) -> None:
        self._pairs: dict[str, Pair] = {}

    def add(self, name: str, pair: Pair) -> None:
        """Record the parts of a tensor."""
        self._pairs[name] = pair

    def __contains__(self, name: str) -> bool:
        return name in self._pairs

    def of(self, tensor: Tensor) -> Pair:
        """Return the parts of a tensor: complex, constant or real."""
        if tensor.name in self._pairs:
            return self._pairs[tensor.name]
        if tensor.dtype.kind != "c":
            return Pair(real=tensor, imag=None)
        if (array := tensor.value) is None:
            raise RefusalError(
                f"no rule computes the complex tensor {tensor.name} from real ones; compute its "
                "real and imaginary parts in the model"
            )
        constant = tensor.emit.constant
        imag = constant(array.imag) if np.any(array.imag) else None
        return Pair(real=constant(array.real), imag=imag)


def _sum(one: Tensor | None, other: Tensor | None, op: str = "Add") -> Tensor | None:
    if one is None or other is None:
        return one if other is None else -other if op == "Sub" else other
    return one.emit.op(op, one, other)


def _times(one: Tensor | None, other: Tensor | None, op: str = "Mul") -> Tensor | None:
    return None if one is None or other is None else one.emit.op(op, one, other)


def _product(a: Pair, b: Pair, op: str = "Mul") -> Pair:
    real = _sum(_times(a.real, b.real, op), _times(a.imag, b.imag, op), "Sub")
    assert real is not None
    return Pair(real=real, imag=_sum(_times(a.real, b.imag, op), _times(a.imag, b.real, op)))


def _conjugate(z: Pair) -> Pair:
    return Pair(real=z.real, imag=None if z.imag is None else -z.imag)


def _multiply(e: Emitter, pairs: Pairs) -> Pair:
    return _product(pairs.of(e[0]), pairs.of(e[1]))


def _square(e: Emitter, pairs: Pairs) -> Pair:
    z = pairs.of(e[0])
    return _product(z, z)


def _divide(e: Emitter, pairs: Pairs) -> Pair:
    one, other = pairs.of(e[0]), pairs.of(e[1])
    if other.imag is None:
        imag = None if one.imag is None else one.imag / other.real
        return Pair(real=one.real / other.real, imag=imag)
    top = _product(one, _conjugate(other))
    size = other.real * other.real + other.imag * other.imag
    return Pair(real=top.real / size, imag=top.imaginary / size)


def _matmul(e: Emitter, pairs: Pairs) -> Pair:
    sides = []
    for index, letter in enumerate("xy"):
        z, old = pairs.of(e[index]), "ab"[index]
        adjoint, transpose = e.attribute(f"adj_{letter}", 0), e.attribute(f"transpose_{old}", 0)
        if adjoint or transpose:
            rank = len(e.graph.get_shape(z.real.name))
            perm = (*range(rank - 2), rank - 1, rank - 2)
            imag = None if z.imag is None else z.imag.transpose(*perm)
            z = Pair(real=z.real.transpose(*perm), imag=imag)
            z = _conjugate(z) if adjoint else z
        sides.append(z)
    return _product(sides[0], sides[1], "MatMul")


def _exp(e: Emitter, pairs: Pairs) -> Pair:
    z = pairs.of(e[0])
    size = e.op("Exp", z.real)
    angle = z.imaginary
    return Pair(real=size * e.op("Cos", angle), imag=size * e.op("Sin", angle))


def _complex(e: Emitter, pairs: Pairs) -> Pair:
    # TensorFlow broadcasts the two parts against each other; later ops need the full shape.
    real, imag = e[0], e[1]
    if real.shape != imag.shape:
        zero = real * 0.0 + imag * 0.0
        real, imag = real + zero, imag + zero
    return Pair(real=real, imag=imag)


def _cast(e: Emitter, pairs: Pairs) -> Pair | Tensor:
    z, dtype = pairs.of(e[0]), e.result_dtype()
    if dtype.kind != "c":
        return z.real.cast(dtype)
    part = np.float32 if dtype == np.complex64 else np.float64
    imag = None if z.imag is None else z.imag.cast(part)
    return Pair(real=z.real.cast(part), imag=imag)


def _absolute(e: Emitter, pairs: Pairs) -> Tensor:
    z = pairs.of(e[0])
    if z.imag is None:
        return e.op("Abs", z.real)
    return e.op("Sqrt", z.real * z.real + z.imag * z.imag)


def angle(e: Emitter, y: Tensor, x: Tensor) -> Tensor:
    """Return atan2(y, x) in (-pi, pi].

    atan2(y, x) = atan(y / x), plus pi with the sign of y where x < 0, and +-pi/2 where x = 0.
    """
    zero_x = x.equals(0.0)
    half = e.op("Sign", y) * (math.pi / 2)
    slope = e.op("Atan", y / e.where(zero_x, 1.0, x))
    turned = slope + e.where(y < 0.0, e.constant(np.array(-math.pi, x.dtype)), math.pi)
    return e.where(zero_x, half, e.where(x < 0.0, turned, slope))


def _angle(e: Emitter, pairs: Pairs) -> Tensor:
    z = pairs.of(e[0])
    return angle(e, z.imaginary, z.real)


def _shape(e: Emitter, pairs: Pairs) -> Tensor:
    return e.op("Shape", pairs.of(e[0]).real).cast(e.result_dtype())


def _by_parts(e: Emitter, pairs: Pairs) -> Pair:
    """Apply an op that is linear, or only moves values, to both parts."""
    inputs = [e[index] for index in range(len(e))]
    parts = [pairs.of(t) if t.name in pairs or t.dtype.kind == "c" else None for t in inputs]
    real = [p.real if p is not None else t for p, t in zip(parts, inputs, strict=True)]
    dtype = next(p.real.dtype for p in parts if p is not None)
    if all(p is None or p.imag is None for p in parts):
        return Pair(real=e.same_op(real, dtype), imag=None)
    imag = [p.imaginary if p is not None else t for p, t in zip(parts, inputs, strict=True)]
    return Pair(real=e.same_op(real, dtype), imag=e.same_op(imag, dtype))


COMPLEX_RULES: dict[str, ComplexRule] = {
    "Mul": _multiply, "Square": _square, "RealDiv": _divide, "Div": _divide, "Exp": _exp,
    "MatMul": _matmul, "BatchMatMul": _matmul, "BatchMatMulV2": _matmul, "BatchMatMulV3": _matmul,
    "Complex": _complex, "Cast": _cast, "ComplexAbs": _absolute, "Angle": _angle,
    "Conj": lambda e, pairs: _conjugate(pairs.of(e[0])),
    "Shape": _shape,
    "Real": lambda e, pairs: pairs.of(e[0]).real,
    "Imag": lambda e, pairs: pairs.of(e[0]).imaginary,
    **dict.fromkeys((
        "Add", "AddV2", "AddN", "Sub", "Neg", "Sum", "Mean", "Cumsum", "Reshape", "Transpose",
        "StridedSlice", "Slice", "ConcatV2", "Concat", "Pad", "Squeeze", "ExpandDims", "GatherV2",
        "GatherNd", "Pack", "Tile", "ReverseV2", "Roll", "BroadcastTo", "Select", "SelectV2",
        "Identity", "StopGradient", "EnsureShape",
    ), _by_parts),
}  # fmt: skip
"""Ops with at least one complex input or result."""


def _atan2(e: Emitter) -> Tensor:
    return angle(e, e[0], e[1])


RULES: dict[str, Rule] = {"Atan2": _atan2}
