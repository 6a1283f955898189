"""Recognize the recurrent cell of a step function by running it.

A gate is the input of a Sigmoid or a Tanh (a *tap*). Its weights are measured in double precision,
with unit vectors. A cell is recognized if its formula, with these weights, predicts random steps to
1e-9. So the order of the gates does not matter, nor how they are concatenated, split or biased.

    LSTM  c' = s(f) c + s(i) tanh(g)                      h' = s(o) tanh(c')
    GRU   n = tanh(x W + (s(r) h) R + b), or the reset    h' = (1 - s(z)) n + s(z) h
              gate after the product with R
    RNN                                                   h' = tanh(x W + h R + b)

Formulas and gate orders are those of ONNX: LSTM "iofc", GRU "zrh". (T, N, K) is the sequence, H the
units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Stepper = Callable[..., tuple[list[Array], list[Array]]]
"""(x, *states) -> (next states, taps); see :func:`cell_of`."""

_TOLERANCE = 1e-9
_ROWS = 8
_LEAST_BEND = 1e-6
"""Below it, a reset gate does not depend on x, and its second bias cannot be measured."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Type, weights and attributes of an ONNX recurrent op with G gates; float32.

    ``weights`` W (G H, K), ``recurrent`` R (G H, H), ``bias`` B (2 G H,).
    """

    op_type: str
    weights: npt.NDArray[np.float32]
    recurrent: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    attributes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Gate:
    """A gate: x W + h R + b, with w (K, H), r (H, H), b (H,)."""

    w: Array
    r: Array
    b: Array

    def __call__(self, x: Array, h: Array) -> Array:
        return x @ self.w + h @ self.r + self.b


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(x / 2))  # does not overflow


def _near(a: Array, b: Array) -> bool:
    return a.shape == b.shape and bool(np.abs(a - b).max() <= _TOLERANCE * (1 + np.abs(b).max()))


class _Probe:
    """Runs a step function to measure its gates; K is ``width``, H is ``units[0]``."""

    def __init__(self, step: Stepper, kinds: list[str], width: int, units: list[int]) -> None:
        self.step, self.kinds, self.width, self.units = step, kinds, width, units
        rng = np.random.default_rng(0)
        # Large numbers too, because a cell may clip numbers far from zero.
        sizes = np.repeat([1.0, 30.0, 1000.0], _ROWS)[:, None]
        self.x = sizes * rng.normal(0, 1, (3 * _ROWS, width))
        self.states = [sizes * rng.normal(0, 1, (3 * _ROWS, size)) for size in units]
        self.after, self.taps = step(self.x, *self.states)

    def pieces(self, kind: str) -> Iterator[tuple[int, slice]]:
        """Yield the taps of a kind, cut into pieces of H columns."""
        size = self.units[0]
        for index, tap in enumerate(self.taps):
            if self.kinds[index] == kind and tap.ndim == 2 and tap.shape[1] % size == 0:
                for start in range(0, tap.shape[1], size):
                    yield index, slice(start, start + size)

    def taps_at(self, x: Array, h: Array) -> list[Array]:
        """Return the taps for rows x and first states h; other states are zero."""
        others = [np.zeros((len(x), size)) for size in self.units[1:]]
        return self.step(x, h, *others)[1]

    def gate(self, index: int, piece: slice) -> _Gate | None:
        """Measure a piece of a tap as an affine map of x and h; None if it is not affine."""
        k, h = self.width, self.units[0]
        # Rows: K unit vectors of x, H unit vectors of h, and one row of zeros, (K + H + 1, .).
        rows = self.taps_at(np.eye(k + h + 1, k), np.eye(k + h + 1, h, -k))[index][:, piece]
        # f(unit vector) - f(0) is a row of the weights, f(0) the bias.
        w, r, b = rows[:k] - rows[-1], rows[k:-1] - rows[-1], rows[-1]
        found = _Gate(w=w, r=r, b=b)
        explained = found(self.x, self.states[0])
        return found if _near(explained, self.taps[index][:, piece]) else None

    def gates(self, kind: str) -> list[_Gate]:
        """Return the gates of a kind: all pieces that are affine maps of x and h."""
        found = [self.gate(index, piece) for index, piece in self.pieces(kind)]
        return [gate for gate in found if gate is not None]


def _cell(op_type: str, gates: list[_Gate], recurrent_bias: Array | None = None) -> Cell:
    """Join gates (K, H), (H, H), (H,) to the arrays of ONNX, which has two biases."""
    size = len(gates[0].b)
    second = np.zeros(len(gates) * size)
    if recurrent_bias is not None:
        second[-size:] = recurrent_bias
    return Cell(
        op_type=op_type,
        weights=np.concatenate([gate.w.T for gate in gates]).astype(np.float32),
        recurrent=np.concatenate([gate.r.T for gate in gates]).astype(np.float32),
        bias=np.concatenate([*(gate.b for gate in gates), second]).astype(np.float32),
        attributes=(
            {"linear_before_reset": int(recurrent_bias is not None)} if op_type == "GRU" else {}
        ),
    )


def _lstm(probe: _Probe) -> Cell | None:
    """Find the gates of an LSTM, in the order of ONNX."""
    sigmoids, tanhs = probe.gates("Sigmoid"), probe.gates("Tanh")
    if len(sigmoids) != 3 or len(tanhs) != 1:
        return None
    x, (h, c) = probe.x, probe.states
    # Which gate is which is not known: try all orders.
    for i, o, f in permutations(sigmoids):
        cell = _sigmoid(f(x, h)) * c + _sigmoid(i(x, h)) * np.tanh(tanhs[0](x, h))
        hidden = _sigmoid(o(x, h)) * np.tanh(cell)
        if _near(hidden, probe.after[0]) and _near(cell, probe.after[1]):
            return _cell("LSTM", [i, o, f, tanhs[0]])
    return None


def _candidate(probe: _Probe, index: int, r: _Gate) -> Iterator[tuple[_Gate, Array | None]]:
    """Yield both forms of a GRU's candidate gate n: reset before, and after, the product with R.

    The second form has a bias of its own inside the reset, which is yielded with it.
    """
    k, size = probe.width, probe.units[0]
    nothing, units = np.zeros((1, k)), np.eye(size)
    zero = np.zeros((1, size))
    rows = probe.taps_at(np.vstack([np.eye(k), nothing]), np.zeros((k + 1, size)))[index]
    at_zero = rows[-1]
    moved = probe.taps_at(np.zeros((size, k)), units)[index] - at_zero
    # Reset before the product scales h itself: for h = unit j the row is s(r)_j R_j.
    reset = _sigmoid(r(np.zeros((size, k)), units))
    yield _Gate(w=rows[:-1] - at_zero, r=moved / np.diag(reset)[:, None], b=at_zero), None
    # With h = 0 the tap is q(x) = x W + b + s(r(x)) r_b. Its second difference in x,
    # q(x) + q(-x) - 2 q(0), has no part of x W and b: it is r_b times that of s(r(x)).
    ends = [3 * probe.x[:1], -3 * probe.x[:1], nothing]
    high, low, middle = (probe.taps_at(x, zero)[index][0] for x in ends)
    bend = sum(_sigmoid(r(x, zero))[0] for x in ends[:2]) - 2 * _sigmoid(r(nothing, zero))[0]
    is_bent = np.abs(bend) > _LEAST_BEND
    second = np.where(is_bent, (high + low - 2 * middle) / np.where(is_bent, bend, 1.0), 0.0)
    bias = at_zero - _sigmoid(r(nothing, zero))[0] * second
    w = rows[:-1] - bias - _sigmoid(r(np.eye(k), np.zeros((k, size)))) * second
    hidden = probe.taps_at(np.zeros((size, k)), units)[index] - bias
    yield _Gate(w=w, r=hidden / reset - second, b=bias), second


def _gru(probe: _Probe) -> Cell | None:
    """Find the gates of a GRU, in the order of ONNX."""
    sigmoids = probe.gates("Sigmoid")
    tanhs = list(probe.pieces("Tanh"))
    if len(sigmoids) != 2 or len(tanhs) != 1 or tanhs[0][1].start:
        return None
    x, (h,) = probe.x, probe.states
    for z, r in permutations(sigmoids):
        for n, second in _candidate(probe, tanhs[0][0], r):
            reset, keep = _sigmoid(r(x, h)), _sigmoid(z(x, h))
            moved = reset * (h @ n.r + second) if second is not None else (reset * h) @ n.r
            hidden = (1 - keep) * np.tanh(x @ n.w + n.b + moved) + keep * h
            if _near(hidden, probe.after[0]):
                return _cell("GRU", [z, r, n], second)
    return None


def _plain(probe: _Probe) -> Cell | None:
    """Find the gate of a plain RNN."""
    for gate in probe.gates("Tanh"):
        if _near(np.tanh(gate(probe.x, probe.states[0])), probe.after[0]):
            return _cell("RNN", [gate])
    return None


def cell_of(step: Stepper, kinds: list[str], width: int, units: list[int]) -> Cell | None:
    """Recognize a step function.

    Args:
        step: (x, *states) -> (next states, taps), arrays (R, .); an LSTM's states are (h, c).
        kinds: "Sigmoid" or "Tanh" for each tap.
        width: K.
        units: columns of each state.
    """
    if len(set(units)) != 1 or len(units) > 2:
        return None
    probe = _Probe(step, kinds, width, units)
    return _lstm(probe) if len(units) == 2 else _gru(probe) or _plain(probe)
