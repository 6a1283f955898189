"""Replace MaxPool with indices and a scatter by MaxPoolArgmax2d and MaxUnpool2d.

    p, i = MaxPool(y)                       ->  p, place = MaxPoolArgmax2d(y)
    Scatter(index arithmetic of i, v)       ->  MaxUnpool2d(v, place)

TensorFlow users write max-unpooling by hand: ``tf.nn.max_pool_with_argmax`` in the encoder, and
index arithmetic around ``tf.scatter_nd`` (or ``tensor_scatter_nd_update``, ...) in the decoder.
There are many versions, so a candidate is recognized by what it computes: for random indices in
every window, the nodes from the indices to the result must write each value exactly where its
index points, and zeros elsewhere, in two draws.

The custom ops are for 2x2 windows with stride 2. For others, standard ops compute the same (see
``analysis.windows``). Shapes must be known and of rank 4, windows not dilated, indices row-major.

Termination: each pool with indices is visited once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, product

import numpy as np
import onnx_ir as ir

from ...plugins import max_pool_argmax_2d, max_unpool_2d
from ...plugins.onnx_function import add_function
from ..analysis.regions import dynamic_inputs, evaluate, nodes_between, positions, submodel
from ..analysis.windows import Windows, first_maxima, unpool, windows_of
from ..graph import (
    TO_NHWC,
    Shape,
    attribute,
    inverse,
    name_of,
    nodes_of,
    not_none,
    remove_dead_nodes,
    replace_keeping_name,
    static_shape,
)
from ..node_builder import NodeBuilder
from ..outcome import Outcome, Skip

_SCATTERS = ("ScatterND", "ScatterElements", "Scatter")
_NCHW = (0, 1, 2, 3)
_DRAWS = 2
_LONGEST = 16
"""Largest number of nodes between a scatter and the result."""
_CANDIDATES = 12
"""Largest number of values that are tried as the values to unpool."""


@dataclass(frozen=True, kw_only=True)
class _Unpool:
    """A match. The permutations turn NCHW into the layout of ``values`` and ``result``."""

    values: ir.Value
    result: ir.Value
    values_perm: tuple[int, ...]
    result_perm: tuple[int, ...]


def _why_not(pool: ir.Node) -> str | None:
    """Return why this pooling cannot be replaced, or None if it can."""
    shape = static_shape(pool.inputs[0])
    if shape is None or len(shape) != 4:
        return f"its input shape is {not_none(pool.inputs[0]).shape}, expected four known sizes"
    if any(d != 1 for d in attribute(pool, "dilations", (1, 1))):
        return "its windows are dilated"
    if attribute(pool, "storage_order", 0):
        return "its indices are column-major"
    return None


def _scatters_below(value: ir.Value) -> list[ir.Node]:
    """Return the first scatter on each path down from ``value``."""
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
    """Yield the values above ``result`` that do not depend on ``indices``, nearest first."""
    # Breadth first: the list grows while it is read.
    todo, seen = [result], set[ir.Value]()
    below = _descendants(indices)
    for value in todo:
        node = value.producer()
        if value in seen or node is None:
            continue
        seen.add(value)
        if value not in below and value is not indices:
            yield value
        todo += dynamic_inputs(node)


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


def _layouts(shape: Shape | None, nchw: Shape) -> list[tuple[int, ...]]:
    """Return the permutations that turn the shape ``nchw`` into ``shape``."""
    return [perm for perm in (_NCHW, TO_NHWC) if shape == tuple(nchw[i] for i in perm)]


def _matches(
    model: ir.Model, pool: ir.Node, windows: Windows, match: _Unpool, order: dict[ir.Node, int]
) -> bool:
    """Whether a candidate's nodes unpool random values to random places, and write zeros elsewhere.

    The nodes between indices, values and result are cut out and run.
    """
    indices = pool.outputs[1]
    nodes = nodes_between([indices, match.values], match.result, order)
    if nodes is None:
        return False
    proto = submodel(model, [indices, match.values], match.result, nodes)
    rng = np.random.default_rng(0)
    for _ in range(_DRAWS):
        places, values, expected = windows.draw(rng)
        feeds = {
            name_of(indices): places,
            name_of(match.values): values.transpose(match.values_perm),
        }
        result = evaluate(proto, feeds)
        if result is None or not np.array_equal(result, expected.transpose(match.result_perm)):
            return False
    return True


def _find(
    model: ir.Model,
    pool: ir.Node,
    windows: Windows,
    scatter: ir.Node,
    order: dict[ir.Node, int],
) -> _Unpool | None:
    # Reshapes and Transposes may follow the scatter: try the farthest result first.
    for result in _downwards(scatter.outputs[0]):
        perms = _layouts(static_shape(result), windows.full)
        if not perms:
            continue
        candidates = (v for v in _above(result, pool.outputs[1]) if v.dtype == ir.DataType.FLOAT)
        pooled = ((v, p) for v in candidates for p in _layouts(static_shape(v), windows.pooled))
        for result_perm, (values, perm) in product(perms, islice(pooled, _CANDIDATES)):
            match = _Unpool(values=values, result=result, values_perm=perm, result_perm=result_perm)
            if _matches(model, pool, windows, match, order):
                return match
    return None


@dataclass(frozen=True, kw_only=True)
class _NewPool:
    """What replaces a pool: ``place`` for plain 2x2 windows, ``masks`` for all others."""

    pooled: ir.Value
    windows: Windows
    place: ir.Value | None = None
    masks: list[ir.Value] = field(default_factory=list)

    def unpooled(self, build: NodeBuilder, values: ir.Value) -> ir.Value:
        """Add the nodes that unpool values (N, C, h, w)."""
        if self.place is None:
            return unpool(build, self.windows, self.masks, values)
        op = max_unpool_2d
        return build.op(op.NAME, values, self.place, shape=self.windows.full, domain=op.DOMAIN)


def _new_pool(model: ir.Model, pool: ir.Node, windows: Windows) -> _NewPool:
    """Add the nodes that will replace a pool."""
    build, x, pooled = NodeBuilder(model.graph), not_none(pool.inputs[0]), windows.pooled
    if windows.is_plain:
        op = max_pool_argmax_2d
        value, place = build.ops(op.NAME, x, shapes=[pooled, pooled], domain=op.DOMAIN)
        # Without this name, ``name_values`` would give it a number only.
        place.name = f"{pool.outputs[0].name}_place"
        add_function(model, op.BODY)
        add_function(model, max_unpool_2d.BODY)
        made = _NewPool(pooled=value, windows=windows, place=place)
    else:
        # The same pool without indices, which no node reads from here on.
        value = build.op("MaxPool", x, shape=pooled, attributes=pool.attributes)
        masks = first_maxima(build, windows, x)
        made = _NewPool(pooled=value, windows=windows, masks=masks)
    build.insert_after(pool)
    return made


def _replace_unpool(graph: ir.Graph, match: _Unpool, pool: _NewPool) -> None:
    build = NodeBuilder(graph)
    values = build.transpose(match.values, inverse(match.values_perm))  # (N, C, h, w)
    result = build.transpose(pool.unpooled(build, values), match.result_perm)
    build.replace_value(match.result, result)


def _overwrites(scatter: ir.Node) -> bool:
    """Whether the last of two values for one pixel wins; otherwise they are added.

    A ScatterND always adds here: tf2onnx writes ``tf.scatter_nd``, which adds, without
    ``reduction="add"``.
    """
    adds = attribute(scatter, "reduction", "none") == "add"
    return scatter.op_type != "ScatterND" and not adds


def _raise_pool(model: ir.Model, pool: ir.Node, scatters: list[ir.Node]) -> int | str:
    """Replace a pool and all its unpoolings; return their number, or the reason why not."""
    if (reason := _why_not(pool)) is not None:
        return reason
    # Check the windows before any node runs: these checks cost nothing.
    order, windows = positions(model.graph), windows_of(pool)
    if windows.overlap and any(map(_overwrites, scatters)):
        return "its windows overlap, and the scatter overwrites values"
    if not windows.begin_inside:
        return "its windows start outside the image"
    found = [_find(model, pool, windows, scatter, order) for scatter in scatters]
    matches = {match.result: match for match in found if match is not None}
    if None in found:
        return "the nodes between its indices and the scatter are not an unpooling"
    made = _new_pool(model, pool, windows)
    for match in matches.values():
        _replace_unpool(model.graph, match, made)
    replace_keeping_name(pool.outputs[0], made.pooled)  # last: a match may read the pool itself
    return len(matches)


def raise_max_unpool(model: ir.Model) -> Outcome:
    """Replace every max-unpooling, and remove its index arithmetic."""
    changed, skipped = 0, list[Skip]()
    for pool in [node for node in nodes_of(model, "MaxPool") if len(node.outputs) == 2]:
        if scatters := _scatters_below(pool.outputs[1]):
            result = _raise_pool(model, pool, scatters)
            if isinstance(result, str):
                skipped.append(Skip(value=name_of(pool.outputs[0]), reason=result))
            else:
                changed += result
    if changed:
        remove_dead_nodes(model)
    return Outcome(changed=changed, skipped=tuple(skipped))
