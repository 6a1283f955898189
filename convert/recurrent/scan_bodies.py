"""Write an LSTM, GRU or RNN as one Scan per direction, whose body contains the ops of one step.

    LSTM(x, W, R, B)  ->  Unsqueeze(Scan(x W + b; body = one step of h and c))

In this form the results of each step can be rounded (``convert/rounding.py``). No pass uses it,
because runtimes compute the op itself faster. The formulas and the orders of the gates are those of
ONNX (see ``cells``). (T, N, K) is the sequence, H the units, D the directions, and G the gates: 4,
3 or 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import (
    array_of,
    attribute,
    constant_input,
    graph_of,
    input_of,
    name_of,
    not_none,
    replace_keeping_name,
)
from ..node_builder import NodeBuilder
from .loop_bodies import rename_made

Array = npt.NDArray[np.float32]
_FIRST_STATE = 5
"""Input index of initial_h; initial_c of an LSTM is the next."""
_REVERSED = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@dataclass(frozen=True, kw_only=True)
class _Weights:
    """The weights of one direction, as a step multiplies by them."""

    w: Array
    """(K, G H)."""
    r: Array
    """(H, G H)."""
    b: Array
    """(G H,), of the product with the input."""
    rb: Array
    """(G H,), of the product with the state."""
    resets_late: bool
    """Whether a GRU resets after the product with R (``linear_before_reset``)."""


def _lstm(step: NodeBuilder, x: ir.Value, states: list[ir.Value], use: _Weights) -> list[ir.Value]:
    h, c = states
    sums = step.op("Add", step.op("Add", x, step.op("MatMul", h, use.r)), use.b + use.rb)
    i, o, f, g = step.ops("Split", sums, shapes=[None] * 4, axis=-1, num_outputs=4)
    kept = step.op("Mul", step.op("Sigmoid", f), c)
    after = step.op("Add", kept, step.op("Mul", step.op("Sigmoid", i), step.op("Tanh", g)))
    return [step.op("Mul", step.op("Sigmoid", o), step.op("Tanh", after)), after]


def _gru(step: NodeBuilder, x: ir.Value, states: list[ir.Value], use: _Weights) -> list[ir.Value]:
    (h,), size = states, len(use.r)
    x = step.op("Add", x, use.b)
    # The columns of z and r, then those of n.
    gates, candidate = (np.ascontiguousarray(p) for p in np.split(use.r, [2 * size], axis=1))
    xz, xr, xn = step.ops("Split", x, shapes=[None] * 3, axis=-1, num_outputs=3)
    moved = step.op("Add", step.op("MatMul", h, gates), use.rb[: 2 * size])
    hz, hr = step.ops("Split", moved, shapes=[None] * 2, axis=-1, num_outputs=2)
    z, r = (step.op("Sigmoid", step.op("Add", a, b)) for a, b in ((xz, hz), (xr, hr)))
    base = h if use.resets_late else step.op("Mul", r, h)
    inner = step.op("Add", step.op("MatMul", base, candidate), use.rb[2 * size :])
    inner = step.op("Mul", r, inner) if use.resets_late else inner
    n = step.op("Tanh", step.op("Add", xn, inner))
    rest = step.op("Sub", not_none(step.constant(1.0)), z)
    return [step.op("Add", step.op("Mul", z, h), step.op("Mul", rest, n))]


def _plain(step: NodeBuilder, x: ir.Value, states: list[ir.Value], use: _Weights) -> list[ir.Value]:
    sums = step.op("Add", step.op("Add", x, use.b), step.op("MatMul", states[0], use.r))
    return [step.op("Tanh", step.op("Add", sums, use.rb))]


_Step = Callable[[NodeBuilder, ir.Value, list[ir.Value], _Weights], list[ir.Value]]
_STEPS: dict[str, _Step] = {"LSTM": _lstm, "GRU": _gru, "RNN": _plain}


def scans_from_recurrent(node: ir.Node, change: Callable[[Array], Array]) -> bool:
    """Replace an LSTM, GRU or RNN in its graph by Scans; return whether it was possible.

    It stays if its weights are not constant, or if it has lengths, peepholes or attributes that the
    passes of this project do not write.

    Args:
        node: the op.
        change: changes the weights; they keep their shapes.
    """
    known = {"hidden_size", "direction", "linear_before_reset"}
    lengths, peepholes = input_of(node, 4), input_of(node, 7)
    arrays = [constant_input(node, index) for index in (1, 2)]
    arrays += [constant_input(node, 3)] if input_of(node, 3) is not None else []
    is_known = node.attributes.keys() <= known and lengths is None and peepholes is None
    if not is_known or any(array is None for array in arrays):
        return False
    build = NodeBuilder(graph_of(node), shapes=False)
    parts = [
        _scan(build, node, _weights(node, index, change), index, is_reversed)
        for index, is_reversed in enumerate(_REVERSED[attribute(node, "direction", "forward")])
    ]
    new = list[tuple[ir.Value, ir.Value]]()
    # y (T, D, N, H), then the last states, (D, N, H) each.
    for index, old in enumerate(node.outputs):
        axis = int(index == 0)
        each = [build.op("Unsqueeze", part[index], (axis,)) for part in parts]
        new.append((old, build.op("Concat", *each, axis=axis)))
        new[-1][1].shape = old.shape
    build.insert_after(node)
    for old, value in new:
        replace_keeping_name(old, value)
    graph_of(node).remove(node, safe=True)
    return True


def _weights(node: ir.Node, index: int, change: Callable[[Array], Array]) -> _Weights:
    """Return the weights of one direction."""
    w, r = (change(array_of(node.inputs[i])[index]) for i in (1, 2))  # (G H, K), (G H, H)
    b = np.zeros(2 * len(w), np.float32)
    if input_of(node, 3) is not None:
        b = change(array_of(node.inputs[3])[index])
    late = bool(attribute(node, "linear_before_reset", 0))
    return _Weights(w=w.T, r=r.T, b=b[: len(w)], rb=b[len(w) :], resets_late=late)


def _scan(
    build: NodeBuilder, node: ir.Node, weights: _Weights, index: int, is_reversed: bool
) -> list[ir.Value]:
    """Create the Scan of one direction; return y (T, N, H) and the last states, (N, H) each."""
    x, count = not_none(node.inputs[0]), 2 if node.op_type == "LSTM" else 1
    name = f"{name_of(node.outputs[0])}.{index}"
    size = len(weights.r)
    inside = [ir.Value(name=f"{name}.state_{i}", type=x.type) for i in range(count)]
    part = ir.Value(name=f"{name}.step", type=x.type)
    body = ir.Graph([*inside, part], [], nodes=[], name=f"{name}.body")
    step = NodeBuilder(body, shapes=False)
    after = _STEPS[node.op_type](step, part, inside, weights)
    body.extend(step.nodes)
    # A body returns each value once, and the states come first.
    results = [*after, step.op("Identity", after[0])]
    body.extend(step.nodes)
    body.outputs.extend(results)
    rename_made(body, name)
    # x W for all steps at once: (T, N, K), (K, G H) -> (T, N, G H).
    product = build.op("MatMul", x, np.ascontiguousarray(weights.w))
    turned = (int(is_reversed),)
    *finals, stacked = build.ops(
        "Scan",
        *(_start(build, node, i, index, size) for i in range(count)),
        product,
        shapes=[None] * (count + 1),
        body=body,
        num_scan_inputs=1,
        scan_input_directions=turned,
        scan_output_directions=turned,
    )
    return [stacked, *finals]


def _start(build: NodeBuilder, node: ir.Node, state: int, index: int, size: int) -> ir.Value:
    """Return an initial state of one direction, (N, H); zeros by default."""
    if (start := input_of(node, _FIRST_STATE + state)) is not None:
        return build.op("Gather", start, np.int64(index), axis=0)
    x = not_none(node.inputs[0])
    first = build.op("Gather", x, np.int64(0), axis=0)  # (N, K)
    width = array_of(node.inputs[1]).shape[2]
    return build.op("MatMul", first, np.zeros((width, size), np.float32))
