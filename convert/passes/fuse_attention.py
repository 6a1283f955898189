"""Fuse the three projections of a self-attention into one, with the scale in the weights.

    q = T(Reshape(x Wq + bq)),  k = T'(Reshape(x Wk + bk)),  v = T(Reshape(x Wv + bv))
    y = Softmax(s (q k) + mask) v
        ->  q, k', v = Split(T(Reshape(x [s Wq | Wk | Wv] + [s bq | bk | bv])), heads)
            y = Softmax(q T''(k') + mask) v

with x (.., K), H heads of size D, each Reshape to (N, T, H, D), T = Transpose(0, 2, 1, 3),
T' = Transpose(0, 2, 3, 1) and T'' = Transpose(0, 1, 3, 2). Weights and biases must be constant, of
equal sizes, and the same in every time step. No other node may read the values in between.

One product of three times the width uses the hardware better than three products, and in int8 its
input is quantized once. TensorRT fuses the resulting form in FP16 and BF16.

Termination: each Softmax is visited once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import (
    Shape,
    array_of,
    attribute,
    constant,
    constant_input,
    constant_last,
    has_one_use,
    name_of,
    nodes_of,
    not_none,
    producer,
    remove_dead_nodes,
    replace_keeping_name,
    shape_of,
    static_shape,
)
from ..node_builder import NodeBuilder
from ..outcome import Outcome, Skip

_HEADS_FIRST = (0, 2, 1, 3)
"""(N, T, H, D) -> (N, H, T, D)."""
_KEYS = (0, 2, 3, 1)
"""(N, T, H, D) -> (N, H, D, T)."""
_SWAP = (0, 1, 3, 2)
"""(N, H, T, D) -> (N, H, D, T)."""

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class _Projection:
    """Query, key or value: ``result`` = Transpose(Reshape(source W + b)); W (K, H D), b (H D,)."""

    source: ir.Value
    weights: Weights
    bias: Weights
    shape: Shape
    """Of the Reshape's result, (N, T, H, D)."""
    result: ir.Value


@dataclass(frozen=True, kw_only=True)
class _Scores:
    """The product of query and key. The node ``scale``, if any, multiplies it by ``factor``."""

    product: ir.Node
    scale: ir.Node | None
    factor: float


@dataclass(frozen=True, kw_only=True)
class _Attention:
    """A self-attention that can be fused."""

    query: _Projection
    key: _Projection
    value: _Projection
    scores: _Scores


def _with_bias(value: ir.Value | None) -> tuple[ir.Value | None, npt.NDArray | None]:
    """Split a value into what is in front of an Add with a constant, and that constant."""
    node = producer(value, "Add")
    found = constant_last(node) if node is not None and has_one_use(not_none(value)) else None
    return (value, None) if found is None else (found[0], array_of(found[1]))


def _projection(value: ir.Value | None, perm: tuple[int, ...]) -> _Projection | None:
    """Match a projection, whose bias may be added in front of or behind the Reshape."""
    turn = producer(value, "Transpose")
    if (
        turn is None
        or tuple(attribute(turn, "perm", ())) != perm
        or not has_one_use(not_none(value))
    ):
        return None
    split, late = _with_bias(turn.inputs[0])
    reshape = producer(split, "Reshape")
    if reshape is None or not has_one_use(not_none(split)):
        return None
    flat, early = _with_bias(reshape.inputs[0])
    product = producer(flat, "MatMul")
    weights = constant_input(product, 1) if product is not None else None
    # split: (N, T, H, D); flat, before the Reshape: (.., H D), for tokens (N, T) of any shape.
    shape, lead = static_shape(split), static_shape(flat)
    if product is None or weights is None or weights.ndim != 2 or shape is None or lead is None:
        return None
    heads_and_size = shape[2:]  # of (N, T, H, D)
    columns = int(np.prod(heads_and_size))
    if len(shape) != 4 or not lead[-1] == columns == weights.shape[1]:
        return None
    if not has_one_use(not_none(flat)):
        return None
    bias = _joined_bias(early, late, heads_and_size)
    if bias is None:
        return None
    return _Projection(
        source=not_none(product.inputs[0]),
        weights=weights,
        bias=bias.reshape(-1),  # (H, D) -> (H D,)
        shape=shape,
        result=not_none(value),
    )


def _joined_bias(
    early: npt.NDArray | None, late: npt.NDArray | None, heads_and_size: Shape
) -> npt.NDArray | None:
    """Add the biases in front of and behind a Reshape, (H, D); None if one differs by step.

    ``early`` broadcasts with (.., H D), ``late`` with (N, T, H, D).
    """
    bias = np.zeros(heads_and_size, np.float32)
    for part, own in ((early, (bias.size,)), (late, bias.shape)):
        if part is not None:
            if any(size != 1 for size in part.shape[: part.ndim - len(own)]):
                return None
            # Drop leading axes of size 1, so that only (H D,) or (H, D) is left.
            last = part.reshape(part.shape[max(part.ndim - len(own), 0) :])
            bias = bias + np.broadcast_to(last, own).reshape(bias.shape)
    return bias


def _scaled_product(value: ir.Value | None) -> _Scores | None:
    """Match a MatMul, with or without a scaling by a constant behind it."""
    scale, factor = producer(value, "Mul", "Div"), 1.0
    if scale is not None:
        value, other = constant_last(scale) or (None, None)
        array = constant(other)
        if array is None or array.size != 1 or not array.any():
            return None
        factor = float(array.reshape(()))
        if scale.op_type == "Div":
            if value is not scale.inputs[0]:
                return None  # the constant is divided by the scores
            factor = 1 / factor
        if not has_one_use(not_none(value)):
            return None
    product = producer(value, "MatMul")
    return None if product is None else _Scores(product=product, scale=scale, factor=factor)


def _scores_of(softmax: ir.Node) -> _Scores | None:
    """Return the scores that a Softmax reads, with or without a mask (Add or Where)."""
    added = producer(softmax.inputs[0], "Add", "Where")
    # Where(mask, scores, low) has the scores as one of three inputs, Add as one of two.
    candidates = added.inputs if added is not None else [softmax.inputs[0]]
    found = [scores for value in candidates if (scores := _scaled_product(value)) is not None]
    return found[0] if len(found) == 1 else None


def _attention(softmax: ir.Node) -> _Attention | str:
    """Match the nodes around a Softmax; a string states why they do not match."""
    scores = _scores_of(softmax)
    # The probabilities must be the left operand of the one product that reads them.
    users = [user for user, index in softmax.outputs[0].uses() if index == 0]
    if scores is None or len(users) != 1 or users[0].op_type != "MatMul":
        return "it is not between two matrix products"
    query = _projection(scores.product.inputs[0], _HEADS_FIRST)
    key = _projection(scores.product.inputs[1], _KEYS)
    value = _projection(users[0].inputs[1], _HEADS_FIRST)
    if query is None or key is None or value is None:
        return "query, key or value is not the product of a tensor and constant weights"
    if not query.source is key.source is value.source:
        return "query, key and value are computed from different tensors"
    sizes = {p.shape for p in (query, key, value)}
    if len(sizes) != 1:
        return f"query, key and value differ in heads or sizes: {sorted(sizes)}"
    return _Attention(query=query, key=key, value=value, scores=scores)


def _fuse(graph: ir.Graph, found: _Attention) -> None:
    parts, factors = (found.query, found.key, found.value), (found.scores.factor, 1.0, 1.0)
    source, (batch, steps, heads, size) = found.query.source, found.query.shape
    weights = np.concatenate([p.weights * f for p, f in zip(parts, factors, strict=True)], 1)
    bias = np.concatenate([p.bias * f for p, f in zip(parts, factors, strict=True)])
    # The scale of the scores is moved into query: s (q k) = (s q) k.
    build, wide = NodeBuilder(graph), (*shape_of(source)[:-1], bias.size)
    x = build.op("MatMul", source, weights.astype(np.float32), shape=wide)
    x = build.op("Add", x, bias.astype(np.float32))
    x = build.reshape(x, (batch, steps, 3 * heads, size))
    x = build.transpose(x, _HEADS_FIRST)  # (N, 3 H, T, D)
    each = (batch, heads, steps, size)
    query, key, value = build.ops("Split", x, shapes=[each] * 3, axis=1, num_outputs=3)
    made = (query, build.transpose(key, _SWAP), value)
    build.insert_behind(source)
    for part, new in zip(parts, made, strict=True):
        replace_keeping_name(part.result, new)
    # The scale is in the weights now: readers of the scaled scores read the product.
    if found.scores.scale is not None:
        replace_keeping_name(found.scores.scale.outputs[0], found.scores.product.outputs[0])
        graph.remove(found.scores.scale, safe=True)


def fuse_attention(model: ir.Model) -> Outcome:
    """Fuse the projections of every self-attention, and remove the old ones."""
    changed, skipped = 0, list[Skip]()
    for node in nodes_of(model, "Softmax"):
        if len(static_shape(node.outputs[0]) or ()) != 4:
            continue
        found = _attention(node)
        if isinstance(found, str):
            skipped.append(Skip(value=name_of(node.outputs[0]), reason=found))
            continue
        _fuse(model.graph, found)
        changed += 1
    # The three old products are no longer read.
    remove_dead_nodes(model)
    return Outcome(changed=changed, skipped=tuple(skipped))
