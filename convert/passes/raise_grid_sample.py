"""Bilinear sampling by four gathers -> GridSample.

Spatial transformers compute where in the image each pixel of the result lies, (x, y) in pixels,
gather the four neighbors, and add them up with their weights:

    Floor(x), Floor(y), clip, 4 GatherND, weights, sum  ->  GridSample<linear, border>(image, grid)
    grid = (2 x / (W - 1) - 1, 2 y / (H - 1) - 1)           align_corners

Outside the image people write two things: the border goes on, or (from the code most have
copied, whose weights come from clipped neighbors) all is zero from the last row and column on.
The second is the first times a mask. Which it is, is found by running them on random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..analysis.regions import ancestors, evaluate, nodes_between, positions, submodel
from ..graph import (
    constant,
    drop_dead,
    name_of,
    new_initializer,
    shape_of,
    static_shape,
    take_over,
    the,
    typed_like,
)
from ..outcome import Outcome

Array = npt.NDArray[np.float64]
_TOLERANCE = 1e-4
_DRAWS = 2


@dataclass(frozen=True, kw_only=True)
class _Sampling:
    """``image`` (N, H, W, C), ``x`` and ``y`` (N, P) in pixels, ``result`` (N, P, C)."""

    image: ir.Value
    x: ir.Value
    y: ir.Value
    result: ir.Value
    masked: bool = False


def _border(image: Array, x: Array, y: Array) -> Array:
    """Sample bilinearly; outside, the border goes on."""
    (n, h, w, _), total = image.shape, 0.0
    rows = np.arange(n)[:, None]
    left, top = np.floor(x), np.floor(y)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (1 - np.abs(x - left - dx)) * (1 - np.abs(y - top - dy))
            column = np.clip(left + dx, 0, w - 1).astype(int)
            row = np.clip(top + dy, 0, h - 1).astype(int)
            total = total + weight[..., None] * image[rows, row, column]
    return np.asarray(total)


def _inside(image: Array, x: Array, y: Array) -> npt.NDArray[np.bool_]:
    _, h, w, _ = image.shape
    return (x >= 0) & (x < w - 1) & (y >= 0) & (y < h - 1)


_FORMS: dict[bool, Callable[[Array, Array, Array], Array]] = {
    False: _border,
    True: lambda image, x, y: _border(image, x, y) * _inside(image, x, y)[..., None],
}
"""By whether it is masked."""


def _form(model: ir.Model, found: _Sampling, order: dict[ir.Node, int]) -> bool | None:
    """Return whether a sampling is masked, or None if it is none."""
    sources = [found.image, found.x, found.y]
    nodes = nodes_between(sources, found.result, order)
    if nodes is None or any(
        user not in nodes and value is not found.result
        for node in nodes
        for value in node.outputs
        for user, _ in value.uses()
    ):
        return None
    proto = submodel(model, sources, found.result, nodes)
    rng, possible = np.random.default_rng(0), set(_FORMS)
    _, height, width, _ = shape_of(found.image)
    for _ in range(_DRAWS):
        image = rng.standard_normal(shape_of(found.image)).astype(np.float32)
        x = rng.uniform(-2, width + 1, shape_of(found.x)).astype(np.float32)
        y = rng.uniform(-2, height + 1, shape_of(found.y)).astype(np.float32)
        feeds = dict(zip(map(name_of, sources), (image, x, y), strict=True))
        got = evaluate(proto, feeds)
        for masked in list(possible):
            expected = _FORMS[masked](*(a.astype(np.float64) for a in (image, x, y)))
            if got is None or got.shape != expected.shape:
                return None
            if np.abs(got - expected).max() > _TOLERANCE:
                possible.discard(masked)
    return possible.pop() if len(possible) == 1 else None


def _candidates(gather: ir.Node, order: dict[ir.Node, int]) -> Iterator[_Sampling]:
    """Yield what may be sampled by this gather and others like it."""
    image, shape = the(gather.inputs[0]), static_shape(gather.outputs[0])
    size = static_shape(image)
    if shape is None or size is None or len(size) != 4 or len(shape) != 3:
        return
    if size[0] != shape[0] or min(size[1:3]) < 2:
        return
    above = ancestors(the(gather.inputs[1]))
    floors = [v for node in above if node.op_type == "Floor" and (v := node.inputs[0])]
    places = list(dict.fromkeys(v for v in floors if static_shape(v) == shape[:2]))
    if len(places) != 2:
        return
    result = gather.outputs[0]
    chain: list[ir.Value] = []
    while len(uses := list(result.uses())) == 1 and len(chain) < 8:
        result = uses[0][0].outputs[0]
        if static_shape(result) != shape:
            break
        chain.append(result)
    for value in reversed(chain):
        for x, y in permutations(places):
            yield _Sampling(image=image, x=x, y=y, result=value)


def _find(model: ir.Model, gather: ir.Node, order: dict[ir.Node, int]) -> _Sampling | None:
    for found in _candidates(gather, order):
        masked = _form(model, found, order)
        if masked is not None:
            return _Sampling(
                image=found.image, x=found.x, y=found.y, result=found.result, masked=masked
            )
    return None


def _grid(graph: ir.Graph, found: _Sampling) -> list[ir.Node]:
    """Make the grid (N, P, 1, 2) of a sampling."""
    _, height, width, _ = shape_of(found.image)
    batch, points = shape_of(found.x)
    one = new_initializer(graph, np.ones((), np.float32), "one")
    axes = new_initializer(graph, np.array([2, 3], np.int64), "axes")
    made, parts = list[ir.Node](), list[ir.Value]()
    for value, size in ((found.x, width), (found.y, height)):
        factor = new_initializer(graph, np.float32(2 / (size - 1)), "factor")
        scaled = ir.node("Mul", [value, factor])
        centerd = ir.node("Sub", [scaled.outputs[0], one])
        raised = ir.node("Unsqueeze", [centerd.outputs[0], axes])
        for node, shape in ((scaled, None), (centerd, None), (raised, (batch, points, 1, 1))):
            typed_like(node.outputs[0], value, shape)
        made += [scaled, centerd, raised]
        parts.append(raised.outputs[0])
    grid = ir.node("Concat", parts, attributes={"axis": 3})
    typed_like(grid.outputs[0], found.x, (batch, points, 1, 2))
    return [*made, grid]


def _mask(graph: ir.Graph, found: _Sampling) -> list[ir.Node]:
    """Make the mask (N, P, 1) of what lies in the image, as numbers."""
    _, height, width, _ = shape_of(found.image)
    made, parts = list[ir.Node](), list[ir.Value]()
    for value, size in ((found.x, width), (found.y, height)):
        for op, limit in (("GreaterOrEqual", 0), ("Less", size - 1)):
            edge = new_initializer(graph, np.float32(limit), "edge")
            node = ir.node(op, [value, edge])
            node.outputs[0].type = ir.TensorType(ir.DataType.BOOL)
            node.outputs[0].shape = value.shape
            made.append(node)
            parts.append(node.outputs[0])
    while len(parts) > 1:
        both = ir.node("And", [parts.pop(0), parts.pop(0)])
        typed_like(both.outputs[0], parts[0] if parts else made[0].outputs[0])
        made.append(both)
        parts.append(both.outputs[0])
    number = ir.node("Cast", parts, attributes={"to": ir.DataType.FLOAT})
    typed_like(number.outputs[0], found.x)
    axes = new_initializer(graph, np.array([2], np.int64), "axes")
    raised = ir.node("Unsqueeze", [number.outputs[0], axes])
    typed_like(raised.outputs[0], found.x, (*shape_of(found.x), 1))
    return [*made, number, raised]


def _replace(graph: ir.Graph, found: _Sampling) -> None:
    batch, points, channels = shape_of(found.result)
    n, h, w, c = shape_of(found.image)
    nchw = ir.node("Transpose", [found.image], attributes={"perm": (0, 3, 1, 2)})
    typed_like(nchw.outputs[0], found.image, (n, c, h, w))
    made = [nchw, *_grid(graph, found)]
    sample = ir.node(
        "GridSample",
        [nchw.outputs[0], made[-1].outputs[0]],
        attributes={"mode": "linear", "padding_mode": "border", "align_corners": 1},
    )
    typed_like(sample.outputs[0], found.image, (batch, channels, points, 1))
    back = ir.node("Transpose", [sample.outputs[0]], attributes={"perm": (0, 2, 3, 1)})
    typed_like(back.outputs[0], found.image, (batch, points, 1, channels))
    axes = new_initializer(graph, np.array([2], np.int64), "axes")
    flat = ir.node("Squeeze", [back.outputs[0], axes])
    typed_like(flat.outputs[0], found.result)
    made += [sample, back, flat]
    if found.masked:
        mask = _mask(graph, found)
        masked = ir.node("Mul", [flat.outputs[0], mask[-1].outputs[0]])
        typed_like(masked.outputs[0], found.result)
        made += [*mask, masked]
    anchor = found.result.producer()
    assert anchor is not None
    graph.insert_after(anchor, made)
    take_over(found.result, made[-1].outputs[0])


def raise_grid_sample(model: ir.Model) -> Outcome:
    """Raise every bilinear sampling; what it was made of is left for ``fold_constants``."""
    changed = 0
    while True:
        order = positions(model.graph)
        gathers = [
            node
            for node in model.graph
            if node.op_type == "GatherND" and constant(node.inputs[0]) is None
        ]
        found = next((f for g in gathers if (f := _find(model, g, order))), None)
        if found is None:
            return Outcome(changed=changed)
        _replace(model.graph, found)
        drop_dead(model)
        changed += 1
