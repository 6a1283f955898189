"""MaxUnpool2d as repeated values, in 8 bits where only Q/DQ pairs read its result.

    MaxUnpool2d(v, place)                                          v, place: (N, C, H, W)
    ->  Where(up(place) == pattern, up(v), 0)                      (N, C, 2H, 2W)

    Q(MaxUnpool2d(v, place))                                       s: the scale of Q
    ->  Q(s (Where(up(place) == pattern, up(q), 128) - 128))       q: bytes
        q = 128 + clip(round(v / s), -128, 127)

``up`` repeats each value along both axes. ``pattern`` is the place of each pixel in its 2x2 window,
0 to 3. The numbers stay the same. In the second rule, that is because rounding commutes with moving
values, keeps the zeros of unpooling, and does not change a multiple of ``s``. A Concat may be
between the unpooling and Q.

OpenVINO runs the function body of MaxUnpool2d in three passes over large tensors: masked copies,
Concat and DepthToSpace. Behind the repetition, it computes all ops above in one pass; in the second
rule, this pass reads and writes bytes only (docs/decisions/0004).

A Resize of fewer than 17 channels whose number is no multiple of 8 is slower than the body, and a
free height or width leaves ``pattern`` unknown. Such unpoolings keep the body.

Each application replaces a marked body by unmarked nodes, so the rules terminate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ...convert.graph import (
    constant_input,
    consumers,
    graph_of,
    name_of,
    not_none,
    replace_keeping_name,
)
from ...convert.node_builder import NodeBuilder
from .fake_quantize import fake_quantize
from .inlined_calls import bodies

_BYTE = ir.DataType.UINT8
_ZERO = 128
"""The byte of the number 0. Signed bytes are slower: OpenVINO quantizes their result again."""
_NEAREST = {
    "mode": "nearest",
    "nearest_mode": "floor",
    "coordinate_transformation_mode": "asymmetric",
}
"""Attributes of a Resize that repeats values."""


def lower_unpoolings(model: ir.Model) -> None:
    """Rewrite the marked unpoolings of a model whose functions are inlined, in place."""
    for body in bodies(model, "MaxUnpool2d"):
        first = {node.op_type: node for node in reversed(body)}  # of each type
        if not {"Where", "Equal"} <= set(first):
            continue  # the graph contains the body of another version
        values, place = not_none(first["Where"].inputs[1]), not_none(first["Equal"].inputs[0])
        if (shape := _fixed_shape(values)) is None or values.dtype is None or place.dtype is None:
            continue
        channels, *size = shape
        if channels % 8 and channels < 17:
            continue
        build, old = NodeBuilder(graph_of(body[0]), shapes=False), body[-1].outputs[0]
        scale = _scale_of_readers(old) if values.dtype == ir.DataType.FLOAT else None
        if scale is None:
            result = _unpooled(build, values, place, size, 0)
        else:
            result = _unpooled_bytes(build, values, place, size, scale)
        for node, replaced in zip(build.nodes, body, strict=False):
            # So that the layers of the plan are matched to the call.
            node.name = node.name or replaced.name
        result.shape = old.shape
        build.insert_after(body[-1])
        replace_keeping_name(old, result)
        graph_of(body[0]).remove(body, safe=True)


def _fixed_shape(values: ir.Value) -> list[int] | None:
    """Return C, H and W of values (N, C, H, W); None if one of them is free or unknown."""
    if values.shape is None or len(values.shape) != 4:
        return None
    sides = [side for side in values.shape[1:] if isinstance(side, int)]
    return sides if len(sides) == 3 else None


def _scale_of_readers(value: ir.Value) -> float | None:
    """Return the scale with which all readers quantize a value; None if there is no such scale."""
    scales = set(_scales(value))
    return scales.pop() if len(scales) == 1 else None


def _scales(value: ir.Value) -> Iterator[float | None]:
    """Yield the scale of each reader; None for a reader that does not quantize."""
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


def _unpooled_bytes(
    build: NodeBuilder, values: ir.Value, place: ir.Value, size: Sequence[int], scale: float
) -> ir.Value:
    """Round values (N, C, H, W) to steps of ``scale`` and unpool their bytes; return floats."""
    # OpenVINO fuses the first three nodes into those that compute values and places. So they have
    # names of these, with the suffixes of quantized tensors.
    name, place_name = name_of(values), name_of(place)
    rounded = fake_quantize(build, values, scale, name=f"{name}.q", output=(0.0, 255.0))
    small = build.op("Cast", rounded, dtype=_BYTE, name=f"{name}.int8", to=_BYTE)
    small_place = build.op("Cast", place, dtype=_BYTE, name=f"{place_name}.int8", to=_BYTE)
    unpooled = _unpooled(build, small, small_place, size, _ZERO)
    # OpenVINO takes Cast, Sub and Mul in a row for dequantization. So it does not quantize the
    # result again, and does not fuse Sub and Mul into the Resize, which would then write float32.
    floats = build.op("Cast", unpooled, dtype=ir.DataType.FLOAT, to=ir.DataType.FLOAT)
    return build.op("Mul", build.op("Sub", floats, float(_ZERO)), scale)


def _unpooled(
    build: NodeBuilder, values: ir.Value, place: ir.Value, size: Sequence[int], zero: int
) -> ir.Value:
    """Unpool values (N, C, H, W) with places of that shape: (N, C, 2H, 2W), filled with zero."""
    scales = np.array([1, 1, 2, 2], np.float32)
    up, up_place = (
        build.op("Resize", x, None, scales, dtype=x.dtype, attributes=_NEAREST)
        for x in (values, place)
    )
    height, width = size
    rows, columns = np.tile([0, 2], height)[:, None], np.tile([0, 1], width)  # (2H, 1), (2W,)
    # A sum, which OpenVINO computes when it compiles: plans do not contain the large pattern.
    rows_like, columns_like = (_as_type_of(place, each) for each in (rows, columns))
    pattern = build.op("Add", build.constant(rows_like), columns_like)  # (2H, 2W)
    is_here = build.op("Equal", up_place, pattern, dtype=ir.DataType.BOOL)
    return build.op("Where", is_here, up, _as_type_of(values, np.array(zero)), dtype=values.dtype)


def _as_type_of(value: ir.Value, array: npt.NDArray) -> npt.NDArray:
    assert value.dtype is not None
    return array.astype(value.dtype.numpy())
