"""MaxPool with indices + scatter -> MaxPoolArgmax2d + MaxUnpool2d.

TensorFlow users write max-unpooling by hand: ``tf.nn.max_pool_with_argmax`` on the way down, and on
the way up index arithmetic around ``tf.scatter_nd`` (or ``tensor_scatter_nd_update``, ...). There
are many spellings, so a candidate is recognized by what it does: with random places in every
window, the nodes from the pool's indices to the scatter's result must put each value where its
index says and zeros elsewhere, exactly, in both of two draws.

    y -> MaxPool -> p, i                   y -> MaxPoolArgmax2d -> p, place
    i, v -> (index arithmetic, Scatter*)   v, place -> MaxUnpool2d

That is for windows of 2x2, side by side. For others the same is done with standard ops, see
``windows``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, product

import numpy as np
import onnx_ir as ir

from ...plugins import max_pool_argmax_2d, max_unpool_2d
from ...plugins.onnx_function import add_function
from ..analysis.regions import evaluate, nodes_between, positions, submodel
from ..analysis.row import Row
from ..analysis.windows import Windows, first_maxima, unpool_nodes, windows_of
from ..graph import (
    attribute,
    constant,
    drop_dead,
    name_of,
    shape_of,
    static_shape,
    take_over,
    the,
    typed_like,
)
from ..outcome import Outcome, Skip

_SCATTERS = ("ScatterND", "ScatterElements", "Scatter")
_NCHW, _NHWC = (0, 1, 2, 3), (0, 2, 3, 1)
_TO_NCHW: dict[tuple[int, ...], tuple[int, ...]] = {_NCHW: _NCHW, _NHWC: (0, 3, 1, 2)}
_DRAWS = 2
_LONGEST = 16
"""Nodes between a scatter and the result."""
_CANDIDATES = 12
"""Values that may be the un-pooled ones."""

Unpool = Callable[[ir.Value], list[ir.Node]]
"""Makes the nodes that un-pool values (N, C, h, w); the last one's output is the result."""


@dataclass(frozen=True, kw_only=True)
class _Unpool:
    """A proven match. The permutations lead from NCHW to the layout in which a value is held."""

    values: ir.Value
    result: ir.Value
    values_perm: tuple[int, ...]
    result_perm: tuple[int, ...]


def _why_not(pool: ir.Node) -> str | None:
    """Why this pooling is beyond us, or None if it is not."""
    shape = static_shape(pool.inputs[0])
    if shape is None or len(shape) != 4:
        return f"its input shape {the(pool.inputs[0]).shape} is not four known numbers"
    if any(d != 1 for d in attribute(pool, "dilations", (1, 1))):
        return "its windows are dilated"
    if attribute(pool, "storage_order", 0):
        return "its indices are column-major"
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


def _above(result: ir.Value, indices: ir.Value) -> Iterator[ir.Value]:
    """Yield what ``result`` is made of and ``indices`` has no part in, nearest first."""
    todo, seen = [result], set[ir.Value]()
    below = _descendants(indices)
    for value in todo:
        node = value.producer()
        if value in seen or node is None:
            continue
        seen.add(value)
        if value not in below and value is not indices:
            yield value
        todo += [v for v in node.inputs if v is not None and constant(v) is None]


def _descendants(value: ir.Value) -> set[ir.Value]:
    todo, found = [value], set[ir.Value]()
    for each in todo:
        new = [v for node, _ in each.uses() for v in node.outputs if v not in found]
        found.update(new)
        todo += new
    return found


def _downwards(value: ir.Value) -> list[ir.Value]:
    """Return the values on the single-use chain that starts at ``value``, farthest first."""
    chain = [value]
    while len(chain) < _LONGEST and len(uses := list(chain[-1].uses())) == 1:
        chain.append(uses[0][0].outputs[0])
    return chain[::-1]


def _layouts(shape: tuple[int, ...] | None, nchw: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [perm for perm in (_NCHW, _NHWC) if shape == tuple(nchw[i] for i in perm)]


def _matches(
    model: ir.Model, pool: ir.Node, windows: Windows, match: _Unpool, order: dict[ir.Node, int]
) -> bool:
    indices = pool.outputs[1]
    nodes = nodes_between([indices, match.values], match.result, order)
    if nodes is None:
        return False
    proto = submodel(model, [indices, match.values], match.result, nodes)
    rng = np.random.default_rng(0)
    for _ in range(_DRAWS):
        places, values, expected = windows.draw(rng)
        held = values.transpose(match.values_perm)
        feeds = {name_of(indices): places, name_of(match.values): held}
        got = evaluate(proto, feeds)
        if got is None or not np.array_equal(got, expected.transpose(match.result_perm)):
            return False
    return True


def _find(
    model: ir.Model,
    pool: ir.Node,
    windows: Windows,
    scatter: ir.Node,
    order: dict[ir.Node, int],
) -> _Unpool | None:
    for result in _downwards(scatter.outputs[0]):
        perms = _layouts(static_shape(result), windows.full)
        if not perms:
            continue
        candidates = (v for v in _above(result, pool.outputs[1]) if v.dtype == ir.DataType.FLOAT)
        held = ((v, p) for v in candidates for p in _layouts(static_shape(v), windows.pooled))
        for result_perm, (values, perm) in product(perms, islice(held, _CANDIDATES)):
            match = _Unpool(values=values, result=result, values_perm=perm, result_perm=result_perm)
            if _matches(model, pool, windows, match, order):
                return match
    return None


def _replace_unpool(graph: ir.Graph, match: _Unpool, unpool: Unpool) -> None:
    before = Row(graph, match.values)
    before.transpose(_TO_NCHW[match.values_perm])
    nodes = unpool(before.value)
    behind = Row(graph, nodes[-1].outputs[0])
    behind.transpose(match.result_perm)
    anchor = match.result.producer()
    assert anchor is not None
    graph.insert_after(anchor, [*before.made, *nodes, *behind.made])
    take_over(match.result, behind.value)


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


def _plain_unpool(place: ir.Value) -> Unpool:
    """Return what un-pools by the places of a MaxPoolArgmax2d."""

    def unpool(values: ir.Value) -> list[ir.Node]:
        batch, channels, height, width = shape_of(values)
        node = ir.node(max_unpool_2d.NAME, [values, place], domain=max_unpool_2d.DOMAIN)
        typed_like(node.outputs[0], values, (batch, channels, 2 * height, 2 * width))
        return [node]

    return unpool


def _without_indices(graph: ir.Graph, pool: ir.Node) -> ir.Node:
    """Put a MaxPool with one output beside the pool."""
    attributes = list(pool.attributes.values())
    made = ir.node("MaxPool", [pool.inputs[0]], attributes={a.name: a for a in attributes})
    typed_like(made.outputs[0], pool.outputs[0])
    graph.insert_after(pool, [made])
    return made


def _new_pool(model: ir.Model, pool: ir.Node, windows: Windows) -> tuple[ir.Node, Unpool]:
    """Put beside a pool what shall take its place; return it, and what un-pools it."""
    graph = model.graph
    if windows.is_plain:
        made = _pool_beside(graph, pool)
        add_function(model, max_pool_argmax_2d.BODY)
        add_function(model, max_unpool_2d.BODY)
        return made, _plain_unpool(made.outputs[1])
    made = _without_indices(graph, pool)
    nodes, masks = first_maxima(graph, windows, the(pool.inputs[0]))
    graph.insert_after(made, nodes)
    return made, lambda values: unpool_nodes(graph, windows, masks, values)


def _overwrites(scatter: ir.Node) -> bool:
    """Whether of two values for one place the last stays. (``tf.scatter_nd`` adds them, and comes
    as a ScatterND that does not say so.)
    """
    adds = attribute(scatter, "reduction", "none") == "add"
    return scatter.op_type != "ScatterND" and not adds


def _raise_pool(model: ir.Model, pool: ir.Node, scatters: list[ir.Node]) -> int | Skip:
    if (reason := _why_not(pool)) is not None:
        return Skip(value=name_of(pool.outputs[0]), reason=reason)
    order, windows = positions(model.graph), windows_of(pool)
    if windows.overlap and any(map(_overwrites, scatters)):
        reason = "its windows overlap, and the scatter overwrites"
        return Skip(value=name_of(pool.outputs[0]), reason=reason)
    if not windows.begin_inside:
        return Skip(value=name_of(pool.outputs[0]), reason="its windows begin outside the image")
    found = [_find(model, pool, windows, scatter, order) for scatter in scatters]
    matches = {match.result: match for match in found if match is not None}
    if None in found:
        reason = "the nodes between its indices and the scatter do not un-pool"
        return Skip(value=name_of(pool.outputs[0]), reason=reason)
    made, unpool = _new_pool(model, pool, windows)
    for match in matches.values():
        _replace_unpool(model.graph, match, unpool)
    take_over(pool.outputs[0], made.outputs[0])  # last: a match may read the pool itself
    return len(matches)


def raise_max_unpool(model: ir.Model) -> Outcome:
    """Raise every max-unpooling, and drop the index arithmetic."""
    changed, skipped = 0, list[Skip]()
    pools = [n for n in model.graph if n.op_type == "MaxPool" and len(n.outputs) == 2]
    for pool in pools:
        if scatters := _scatters_below(pool.outputs[1]):
            result = _raise_pool(model, pool, scatters)
            skipped += [result] if isinstance(result, Skip) else []
            changed += result if isinstance(result, int) else 0
    if changed:
        drop_dead(model)
    return Outcome(changed=changed, skipped=tuple(skipped))
