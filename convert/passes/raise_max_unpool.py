"""MaxPool with indices + scatter -> MaxPoolArgmax2d + MaxUnpool2d.

TensorFlow users write max-unpooling by hand: ``tf.nn.max_pool_with_argmax`` on the way down, and on
the way up index arithmetic around ``tf.scatter_nd`` (or ``tensor_scatter_nd_update``, ...). There
are many spellings, so a candidate is recognised by what it does: with random places in every
window, the nodes from the pool's indices to the scatter's result must put each value where its
index says and zeros elsewhere, exactly, in both of two draws.

    y -> MaxPool -> p, i                   y -> MaxPoolArgmax2d -> p, place
    i, v -> (index arithmetic, Scatter*)   v, place -> MaxUnpool2d
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ...plugins import max_pool_argmax_2d, max_unpool_2d
from ..graph import attribute, name_of, shape_of, static_shape, take_over, the, typed_like
from ..outcome import Outcome, Skip
from ..regions import evaluate, nodes_between, positions, submodel
from .collapse_views import VIEW_OPS

_SCATTERS = ("ScatterND", "ScatterElements", "Scatter")
_NCHW, _NHWC = (0, 1, 2, 3), (0, 2, 3, 1)
_DRAWS = 2


@dataclass(frozen=True, kw_only=True)
class _Unpool:
    """A proven match. The permutations lead from NCHW to the layout in which a value is held."""

    values: ir.Value
    result: ir.Value
    values_perm: tuple[int, ...]
    result_perm: tuple[int, ...]


def _why_not_fast(pool: ir.Node) -> str | None:
    """Why this pooling is no plain 2x2 one with stride 2, or None if it is."""
    shape = static_shape(pool.inputs[0])
    if shape is None or len(shape) != 4:
        return f"its input shape {the(pool.inputs[0]).shape} is not four known numbers"
    wanted = {"kernel_shape": (2, 2), "strides": (2, 2)}
    for name, value in wanted.items():
        seen = tuple(attribute(pool, name, (1, 1)))
        if seen != value:
            return f"{name} is {seen}, and only {value} is supported"
    if any(attribute(pool, "pads", (0,))) or shape[2] % 2 or shape[3] % 2:
        return f"height and width {shape[2:]} must be even and unpadded"
    return None


def _scatters_below(value: ir.Value) -> list[ir.Node]:
    found: list[ir.Node] = []
    todo, seen = [value], set[ir.Node]()
    while todo:
        for node, _ in todo.pop().uses():
            if node in seen:
                continue
            seen.add(node)
            if node.op_type in _SCATTERS:
                found.append(node)
            else:
                todo += node.outputs
    return found


def _rank4_upwards(value: ir.Value | None) -> Iterator[ir.Value]:
    """Yield the rank-4 values on the view chain that ends at ``value``, farthest first."""
    chain = [the(value)]
    while (node := chain[-1].producer()) is not None and node.op_type in VIEW_OPS:
        chain.append(the(node.inputs[0]))
    yield from (v for v in reversed(chain) if v.shape is not None and len(v.shape) == 4)


def _rank4_downwards(value: ir.Value) -> Iterator[ir.Value]:
    """Yield the rank-4 values on the view chain that starts at ``value``, farthest first."""
    chain = [value]
    while len(uses := list(chain[-1].uses())) == 1 and uses[0][0].op_type in VIEW_OPS:
        chain.append(uses[0][0].outputs[0])
    yield from (v for v in reversed(chain) if v.shape is not None and len(v.shape) == 4)


def _layouts(shape: tuple[int, ...] | None, nchw: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [perm for perm in (_NCHW, _NHWC) if shape == tuple(nchw[i] for i in perm)]


def _draw(
    rng: np.random.Generator, full: tuple[int, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return ONNX MaxPool indices, values, and the un-pooled result, all NCHW."""
    batch, channels, height, width = full
    pooled = (batch, channels, height // 2, width // 2)
    rows = 2 * np.arange(pooled[2])[:, None] + rng.integers(0, 2, pooled)
    columns = 2 * np.arange(pooled[3]) + rng.integers(0, 2, pooled)
    planes = np.arange(batch * channels).reshape(batch, channels, 1, 1)
    indices = (planes * height + rows) * width + columns
    values = rng.standard_normal(pooled, np.float32)
    result = np.zeros(full, np.float32)
    result.reshape(-1)[indices.reshape(-1)] = values.reshape(-1)
    return indices.astype(np.int64), values, result


def _matches(model: ir.Model, pool: ir.Node, match: _Unpool, order: dict[ir.Node, int]) -> bool:
    indices = pool.outputs[1]
    nodes = nodes_between([indices, match.values], match.result, order)
    if nodes is None:
        return False
    proto = submodel(model, [indices, match.values], match.result, nodes)
    rng = np.random.default_rng(0)
    for _ in range(_DRAWS):
        places, values, expected = _draw(rng, shape_of(pool.inputs[0]))
        held = values.transpose(match.values_perm)
        feeds = {name_of(indices): places, name_of(match.values): held}
        got = evaluate(proto, feeds)
        if got is None or not np.array_equal(got, expected.transpose(match.result_perm)):
            return False
    return True


def _find(
    model: ir.Model, pool: ir.Node, scatter: ir.Node, order: dict[ir.Node, int]
) -> _Unpool | None:
    full = shape_of(pool.inputs[0])
    batch, channels, height, width = full
    pooled = (batch, channels, height // 2, width // 2)
    for result in _rank4_downwards(scatter.outputs[0]):
        for values in _rank4_upwards(scatter.inputs[2]):
            for result_perm in _layouts(static_shape(result), full):
                for values_perm in _layouts(static_shape(values), pooled):
                    match = _Unpool(
                        values=values,
                        result=result,
                        values_perm=values_perm,
                        result_perm=result_perm,
                    )
                    if _matches(model, pool, match, order):
                        return match
    return None


def _to_nchw(value: ir.Value, perm: tuple[int, ...]) -> tuple[list[ir.Node], ir.Value]:
    if perm == _NCHW:
        return [], value
    node = ir.node("Transpose", [value], attributes={"perm": (0, 3, 1, 2)})
    shape = shape_of(value)
    typed_like(node.outputs[0], value, [shape[i] for i in (0, 3, 1, 2)])
    return [node], node.outputs[0]


def _replace_unpool(graph: ir.Graph, match: _Unpool, place: ir.Value) -> None:
    before, values = _to_nchw(match.values, match.values_perm)
    batch, channels, height, width = shape_of(values)
    unpool = ir.node(max_unpool_2d.NAME, [values, place], domain=max_unpool_2d.DOMAIN)
    last = typed_like(unpool.outputs[0], values, (batch, channels, 2 * height, 2 * width))
    made = [*before, unpool]
    if match.result_perm == _NHWC:
        back = ir.node("Transpose", [last], attributes={"perm": _NHWC})
        last = typed_like(back.outputs[0], match.result)
        made.append(back)
    anchor = match.result.producer()
    assert anchor is not None
    graph.insert_after(anchor, made)
    take_over(match.result, last)


def _pool_beside(graph: ir.Graph, pool: ir.Node) -> ir.Node:
    """Put a MaxPoolArgmax2d beside the pool."""
    made = ir.node(
        max_pool_argmax_2d.NAME,
        [pool.inputs[0]],
        domain=max_pool_argmax_2d.DOMAIN,
        num_outputs=2,
    )
    pooled, place = made.outputs
    typed_like(pooled, pool.outputs[0])
    typed_like(place, pool.outputs[0])
    place.name = f"{pool.outputs[0].name}_place"
    graph.insert_after(pool, [made])
    return made


def raise_max_unpool(model: ir.Model) -> Outcome:
    """Raise every 2x2 max-unpooling; dead index arithmetic is left for ``fold_constants``."""
    changed, skipped = 0, list[Skip]()
    pools = [n for n in model.graph if n.op_type == "MaxPool" and len(n.outputs) == 2]
    for pool in pools:
        scatters = _scatters_below(pool.outputs[1])
        if not scatters:
            continue
        if (reason := _why_not_fast(pool)) is not None:
            skipped.append(Skip(value=name_of(pool.outputs[0]), reason=reason))
            continue
        order = positions(model.graph)
        found = [_find(model, pool, scatter, order) for scatter in scatters]
        matches = [match for match in found if match is not None]
        if len(matches) < len(found):
            reason = "the nodes between its indices and the scatter do not un-pool"
            skipped.append(Skip(value=name_of(pool.outputs[0]), reason=reason))
            continue
        made = _pool_beside(model.graph, pool)
        for match in matches:
            _replace_unpool(model.graph, match, made.outputs[1])
            changed += 1
        take_over(pool.outputs[0], made.outputs[0])  # last: a match may read the pool itself
    if changed:
        max_pool_argmax_2d.register(model)
        max_unpool_2d.register(model)
    return Outcome(changed=changed, skipped=tuple(skipped))
