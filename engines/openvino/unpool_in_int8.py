"""MaxUnpool2d in 8 bits where only Q/DQ pairs of one scale read its result.

    Q(MaxUnpool2d(v, place))                                       v, place: (N, C, H, W)
    ->  Q(s (Where(up(place) == pattern, up(q), 128) - 128))       (N, C, 2H, 2W)

    q = 128 + clip(round(v / s), -128, 127), as uint8; up repeats each value along both axes

``s`` is the scale of the pairs; their zero point is 0. ``pattern`` is the place of a pixel in its
2x2 window, 0 to 3. The numbers stay the same: rounding commutes with moving values, it keeps the
zeros of unpooling, and it does not change a multiple of ``s``.

OpenVINO computes the body of MaxUnpool2d in float32: a masked copy for each place, Concat,
DepthToSpace and FakeQuantize, each with a pass over a large tensor. In the new form it repeats
bytes, and one loop that reads and writes bytes computes all ops behind that (docs/decisions/0004).
The pair may be behind a Concat, since OpenVINO quantizes the inputs of a Concat.

Each application replaces one marked unpooling by unmarked nodes, so the rule terminates.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ...convert.graph import (
    constant_input,
    consumers,
    graph_of,
    name_of,
    nodes_of,
    not_none,
    replace_keeping_name,
)
from ...convert.node_builder import NodeBuilder
from .fake_quantize import fake_quantize

_CALL = "ocr_trt.unpooling"  # key of node metadata: the result of the call that a node belongs to
_ZERO = 128.0
"""The byte of the number 0. Bytes are unsigned, as in OpenVINO's kernels."""
_FLOAT, _UINT8 = ir.DataType.FLOAT, ir.DataType.UINT8
_NEAREST = {
    "mode": "nearest",
    "nearest_mode": "floor",
    "coordinate_transformation_mode": "asymmetric",
}
"""Attributes of a Resize that repeats values."""


def mark_unpoolings(model: ir.Model) -> None:
    """Mark the calls of MaxUnpool2d; the pass that inlines them copies the marks to their bodies.

    The rule runs behind that pass, which numbers nodes. With fewer nodes to inline, the layers of
    the plan would have other names than the nodes of the quantized graph.
    """
    for node in nodes_of(model, "MaxUnpool2d"):
        node.metadata_props[_CALL] = name_of(node.outputs[0])


def unpool_in_int8(model: ir.Model) -> None:
    """Rewrite the marked unpoolings of a model whose functions are inlined, in place."""
    marked = [node for node in model.graph if _CALL in node.metadata_props]
    for _, nodes in groupby(marked, key=lambda node: node.metadata_props[_CALL]):
        body = tuple(nodes)
        scales = set(_scales(body[-1].outputs[0]))
        if len(scales) == 1 and (scale := scales.pop()) is not None:
            _rewrite(body, scale)


def _scales(value: ir.Value) -> Iterator[float | None]:
    """Yield the scale with which each reader quantizes a value; None for any other reader."""
    if value.is_graph_output():
        yield None
    for node in consumers(value):
        if node.op_type == "Concat":
            yield from _scales(node.outputs[0])
        else:
            yield _scale(node)


def _scale(node: ir.Node) -> float | None:
    """Return the scale of a symmetric QuantizeLinear to int8; None for any other node."""
    if node.op_type != "QuantizeLinear":
        return None
    scale, zero = constant_input(node, 1), constant_input(node, 2)
    if scale is None or scale.size > 1 or zero is None or zero.dtype != np.int8 or zero.any():
        return None
    return float(scale.item())


def _rewrite(body: tuple[ir.Node, ...], scale: float) -> None:
    """Replace the body of an unpooling of float32 numbers, unless its height or width is free."""
    first = {node.op_type: node for node in reversed(body)}  # of each type
    values, place = not_none(first["Where"].inputs[1]), not_none(first["Equal"].inputs[0])
    old, pattern = body[-1].outputs[0], _pattern(values)
    if values.dtype != _FLOAT or pattern is None:
        return
    # The new nodes get names from the body, so that their layers are matched to the call.
    build, names = NodeBuilder(graph_of(body[0]), shapes=False), (node.name for node in body)
    rounded = fake_quantize(build, values, scale, name=next(names), output=(0.0, 255.0))
    up, up_place = (_repeated(build, each, names) for each in (rounded, place))  # (N, C, 2H, 2W)
    is_here = build.op("Equal", up_place, pattern, dtype=ir.DataType.BOOL, name=next(names))
    # Where comes first: OpenVINO would fuse Sub and Mul into the Resize, which then writes float32.
    unpooled = build.op("Where", is_here, up, _ZERO, dtype=_FLOAT, name=next(names))
    centered = build.op("Sub", unpooled, _ZERO, name=next(names))
    result = build.op("Mul", centered, scale, name=next(names))
    result.shape = old.shape
    build.insert_after(body[-1])
    replace_keeping_name(old, result)
    graph_of(body[0]).remove(body, safe=True)


def _pattern(values: ir.Value) -> npt.NDArray[np.float32] | None:
    """Return the place of each pixel in its window, (1, 1, 2H, 2W); None if H or W is free."""
    if values.shape is None or len(values.shape) != 4:
        return None
    height, width = values.shape[2:]
    if not isinstance(height, int) or not isinstance(width, int):
        return None
    return np.tile(np.array([[0, 1], [2, 3]], np.float32), (1, 1, height, width))


def _repeated(build: NodeBuilder, x: ir.Value, names: Iterator[str | None]) -> ir.Value:
    """Repeat whole numbers from 0 to 255 along both axes, as bytes.

    Args:
        build: collects the nodes.
        x: (N, C, H, W), in a float type.
        names: of the new nodes.

    Returns:
        (N, C, 2H, 2W), float32.
    """
    small = build.op("Cast", x, dtype=_UINT8, to=_UINT8, name=next(names))
    scales = np.array([1, 1, 2, 2], np.float32)
    large = build.op("Resize", small, None, scales, name=next(names), attributes=_NEAREST)
    return build.op("Cast", large, dtype=_FLOAT, to=_FLOAT, name=next(names))
