"""Replace bilinear sampling by four gathers with GridSample.

Spatial transformers compute the position (x, y) in the image, in pixels, of each pixel of the
result, gather its four neighbors, and sum them with their weights:

    Floor(x), Floor(y), clip, 4 GatherND, weights, sum  ->  GridSample<linear, border>(image, grid)
    grid = (2 x / (W - 1) - 1, 2 y / (H - 1) - 1)           align_corners

There are two versions, which differ outside the image. The first repeats the border pixels. The
second, in widely copied code, computes its weights from clipped neighbors: its result is zero
outside the image and on its last row and column. It is the first version times a mask. The nodes
run on random numbers to find out which version they are.

The image must be (N, H, W, C) of known shape, and no other node may read the inner values.

Ends because each rewrite removes a GatherND.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..analysis.regions import ancestors, evaluate, nodes_between, positions, submodel
from ..fixpoint import RewriteBudget
from ..graph import (
    TO_NCHW,
    TO_NHWC,
    constant_input,
    name_of,
    nodes_of,
    not_none,
    remove_dead_nodes,
    shape_of,
    static_shape,
)
from ..node_builder import NodeBuilder
from ..outcome import Outcome

Array = npt.NDArray[np.float64]
_TOLERANCE = 1e-4
_DRAWS = 2
_LONGEST = 8
"""Largest number of nodes between a gather and the sum of all four."""


@dataclass(frozen=True, kw_only=True)
class _Sampling:
    """A match: ``image`` (N, H, W, C), ``x`` and ``y`` (N, P) in pixels, ``result`` (N, P, C)."""

    image: ir.Value
    x: ir.Value
    y: ir.Value
    result: ir.Value
    masked: bool = False


def _border(image: Array, x: Array, y: Array) -> Array:
    """Sample bilinearly; outside the image, repeat the border pixels."""
    (n, h, w, _), total = image.shape, 0.0
    rows = np.arange(n)[:, None]
    # Weights from the unclipped neighbors, pixels from the clipped ones.
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
"""``masked`` -> what that version computes."""


def _form(model: ir.Model, found: _Sampling, order: dict[ir.Node, int]) -> bool | None:
    """Return whether a sampling is masked; None if the nodes compute something else."""
    # The nodes can be replaced only if no other node reads their inner values.
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
        # Some points lie outside the image, where the two versions differ.
        x = rng.uniform(-2, width + 1, shape_of(found.x)).astype(np.float32)
        y = rng.uniform(-2, height + 1, shape_of(found.y)).astype(np.float32)
        feeds = dict(zip(map(name_of, sources), (image, x, y), strict=True))
        result = evaluate(proto, feeds)
        for masked in list(possible):
            expected = _FORMS[masked](*(a.astype(np.float64) for a in (image, x, y)))
            if result is None or result.shape != expected.shape:
                return None
            if np.abs(result - expected).max() > _TOLERANCE:
                possible.discard(masked)
    return possible.pop() if len(possible) == 1 else None


def _candidates(gather: ir.Node, order: dict[ir.Node, int]) -> Iterator[_Sampling]:
    """Yield possible matches that contain this gather, farthest result first."""
    image, shape = not_none(gather.inputs[0]), static_shape(gather.outputs[0])
    size = static_shape(image)
    if shape is None or size is None or len(size) != 4 or len(shape) != 3:
        return
    if size[0] != shape[0] or min(size[1:3]) < 2:
        return
    # The inputs of the two Floors above the indices are x and y, in an unknown order.
    above = ancestors([not_none(gather.inputs[1])])
    floors = [v for node in above if node.op_type == "Floor" and (v := node.inputs[0])]
    places = list(dict.fromkeys(v for v in floors if static_shape(v) == shape[:2]))
    if len(places) != 2:
        return
    result = gather.outputs[0]
    chain: list[ir.Value] = []
    while len(uses := list(result.uses())) == 1 and len(chain) < _LONGEST:
        result = uses[0][0].outputs[0]
        if static_shape(result) != shape:
            break
        chain.append(result)
    # The farthest value of this shape is the sum of the four gathers, if any is.
    for value in reversed(chain):
        for x, y in permutations(places):
            yield _Sampling(image=image, x=x, y=y, result=value)


def _find(model: ir.Model, gather: ir.Node, order: dict[ir.Node, int]) -> _Sampling | None:
    for found in _candidates(gather, order):
        masked = _form(model, found, order)
        if masked is not None:
            return replace(found, masked=masked)
    return None


def _grid(build: NodeBuilder, found: _Sampling) -> ir.Value:
    """Add the grid (N, P, 1, 2): x and y from -1 (center of the first pixel) to 1 (of the last)."""
    _, height, width, _ = shape_of(found.image)
    parts, points = list[ir.Value](), shape_of(found.x)
    one, axes = build.constant(np.float32(1)), build.constant((2, 3))
    for value, size in ((found.x, width), (found.y, height)):
        scaled = build.op("Mul", value, np.float32(2 / (size - 1)))
        centered = build.op("Sub", scaled, one)
        parts.append(build.op("Unsqueeze", centered, axes, shape=(*points, 1, 1)))
    return build.op("Concat", *parts, shape=(*points, 1, 2), axis=3)


def _mask(build: NodeBuilder, found: _Sampling) -> ir.Value:
    """Add the mask (N, P, 1) of the points inside the image: 1 inside, 0 outside."""
    _, height, width, _ = shape_of(found.image)
    parts = [
        build.op(op, value, np.float32(limit), dtype=ir.DataType.BOOL)
        for value, size in ((found.x, width), (found.y, height))
        for op, limit in (("GreaterOrEqual", 0), ("Less", size - 1))
    ]
    # And has two operands: join the four conditions pairwise.
    while len(parts) > 1:
        parts.append(build.op("And", parts.pop(0), parts.pop(0)))
    number = build.op("Cast", parts[0], dtype=ir.DataType.FLOAT, to=ir.DataType.FLOAT)
    return build.op("Unsqueeze", number, (2,), shape=(*shape_of(found.x), 1))


def _replace(graph: ir.Graph, found: _Sampling) -> None:
    batch, points, channels = shape_of(found.result)
    build = NodeBuilder(graph)
    # GridSample reads NCHW and a grid (N, height, width, 2): the P points are one column.
    image = build.transpose(found.image, TO_NCHW)
    x = build.op(
        "GridSample",
        image,
        _grid(build, found),
        shape=(batch, channels, points, 1),
        mode="linear",
        padding_mode="border",
        align_corners=1,
    )
    x = build.transpose(x, TO_NHWC)  # (N, P, 1, C)
    x = build.op("Squeeze", x, (2,), shape=(batch, points, channels))
    if found.masked:
        x = build.op("Mul", x, _mask(build, found))
    build.replace_value(found.result, x)


def raise_grid_sample(model: ir.Model) -> Outcome:
    """Replace every bilinear sampling."""
    budget = RewriteBudget("raise_grid_sample", model.graph)
    while True:
        order = positions(model.graph)
        gathers = [n for n in nodes_of(model, "GatherND") if constant_input(n, 0) is None]
        found = next((f for g in gathers if (f := _find(model, g, order))), None)
        if found is None:
            return Outcome(changed=budget.spent)
        _replace(model.graph, found)
        remove_dead_nodes(model)
        budget.spend("GatherND -> GridSample", name_of(found.result))
