"""ConvTranspose -> Conv and DepthToSpace, which compute the same sums and run in int8.

    y[s m + a] = sum over k = a + p (mod s) of x[m + (a + p - k) / s] . w[k]

Each phase a of the output (0 .. s-1, per axis) is a convolution of x. All phases together are one
Conv with s*s times the channels, whose kernel is zero where a phase reads nothing. DepthToSpace
then interleaves the phases. This is faster on targets whose Conv has int8 kernels and whose
ConvTranspose has none (docs/decisions/0012).

It terminates because each application removes one ConvTranspose and adds none.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..convert.graph import (
    attribute,
    constant,
    constant_input,
    input_of,
    name_of,
    new_initializer,
    nodes_of,
    not_none,
    remove_dead_nodes,
)
from ..convert.node_builder import NodeBuilder

_MAX_WORK = 2.5
"""Largest allowed ratio of multiplications after and before; zeros of kernels count too."""


def _taps(size: int, stride: int, pad: int) -> dict[tuple[int, int], int]:
    """Return {(phase a, offset in x): index k} of one axis, where a + pad - k = stride * offset."""
    taps = {}
    for phase in range(stride):
        for k in range(size):
            if (phase + pad - k) % stride == 0:
                taps[phase, (phase + pad - k) // stride] = k
    return taps


def _offsets(taps: dict[tuple[int, int], int]) -> tuple[int, int]:
    """Return the smallest and the largest offset in x; they become the Conv's pads."""
    offsets = [offset for _, offset in taps]
    return min(*offsets, 0), max(*offsets, 0)


def _phases(
    weights: npt.NDArray[np.float32], stride: int, pads: tuple[int, int]
) -> tuple[npt.NDArray[np.float32], list[int]]:
    """Turn weights (C, O, kh, kw) into those of all phases, (s*s*O, C, h, w), and the Conv's pads.

    Phase (a, b) of channel o is row (a s + b) O + o, which is DepthToSpace's DCR order.
    """
    rows, columns = (
        _taps(size, stride, pad) for size, pad in zip(weights.shape[2:], pads, strict=True)
    )
    (top, bottom), (left, right) = _offsets(rows), _offsets(columns)
    channels, outputs = weights.shape[:2]
    shape = (stride, stride, outputs, channels, bottom - top + 1, right - left + 1)
    kernels = np.zeros(shape, np.float32)  # (s, s, O, C, h, w)
    for (a, y), ky in rows.items():
        for (b, x), kx in columns.items():
            kernels[a, b, :, :, y - top, x - left] = weights[:, :, ky, kx].T  # (C, O) -> (O, C)
    return kernels.reshape(-1, *shape[3:]), [-top, -left, bottom, right]


def _whole_stride(node: ir.Node) -> int:
    """Return s > 1 if the output is exactly s times the input along both axes, else 0.

    Only then can DepthToSpace interleave the phases without cropping.
    """
    stride, *others = attribute(node, "strides", (1, 1))
    is_plain = (
        attribute(node, "group", 1) == 1
        and set(attribute(node, "dilations", (1,))) == {1}
        and attribute(node, "auto_pad", "NOTSET") == "NOTSET"
        and attribute(node, "output_shape") is None  # it would override the pads
        and others == [stride]
        and stride > 1
    )
    shape, output = (
        not_none(node.inputs[0]).shape,
        node.outputs[0].shape,
    )  # (N, C, H, W); N may be free
    if not is_plain or shape is None or output is None:
        return 0
    sizes = zip(shape[2:], output[2:], strict=True)
    is_exact = all(isinstance(size, int) and out == size * stride for size, out in sizes)
    return stride if is_exact else 0


def _lower(graph: ir.Graph, node: ir.Node, most_results: int | None) -> bool:
    x, weights, bias = not_none(node.inputs[0]), constant(node.inputs[1]), constant_input(node, 2)
    stride, is_variable = _whole_stride(node), input_of(node, 2) is not None and bias is None
    if not stride or is_variable or weights is None or weights.ndim != 4:
        return False
    top, left, *_ = attribute(node, "pads", (0, 0, 0, 0))
    # (C, O, kh, kw) -> (s*s*O, C, h, w)
    phases, pads = _phases(weights, stride, (top, left))
    if phases.size > _MAX_WORK * weights.size or len(phases) > (most_results or len(phases)):
        return False
    name = name_of(node.outputs[0])
    inputs = [x, new_initializer(graph, phases, f"{name}.phase_weight")]
    if bias is not None:
        tiled = np.tile(bias, stride * stride)  # (O,) -> (s*s*O,), the same for each phase
        inputs.append(new_initializer(graph, tiled, f"{name}.phase_bias"))
    build = NodeBuilder(graph)
    conv = build.op("Conv", *inputs, name=f"{name}_phases", pads=pads)
    sizes = [len(phases) if axis == 1 else size for axis, size in enumerate(x.shape or ())]
    conv.shape, conv.name = ir.Shape(sizes), f"{name}_phases"  # (N, s*s*O, H, W)
    # (N, s*s*O, H, W) -> (N, O, s*H, s*W)
    result = build.op("DepthToSpace", conv, name=name, blocksize=stride, mode="DCR")
    build.replace([node], result)
    return True


def lower_deconvolutions(
    model: onnx.ModelProto, *, most_results: int | None = None, kept: Collection[str] = ()
) -> onnx.ModelProto:
    """Return the model with every ConvTranspose lowered whose output is s times its input.

    Returns the model itself if there is none.

    Args:
        model: a float graph.
        most_results: largest number of channels, s*s*O, that a Conv may write for DepthToSpace;
            None: any number.
        kept: names of nodes that stay.
    """
    copy = ir.from_proto(model)
    # A sum, because ``any`` would stop at the first node that is lowered.
    nodes = [node for node in nodes_of(copy, "ConvTranspose") if node.name not in kept]
    if not sum(_lower(copy.graph, node, most_results) for node in nodes):
        return model
    remove_dead_nodes(copy)
    return ir.to_proto(copy)
