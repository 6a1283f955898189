"""ConvTranspose -> Conv and DepthToSpace, the same sums in an op that runs in int8.

    y[s m + a] = sum over k = a + p (mod s) of x[m + (a + p - k) / s] . w[k]

Each phase a of the output (0 .. s-1, per axis) is a convolution of x. All phases together are one
Conv with s*s times the channels, whose kernel is zero where a phase reads nothing. DepthToSpace
then interleaves the phases. This is faster only on targets whose Conv has int8 kernels and whose
ConvTranspose has none: TensorRT and TensorRT-RTX (docs/decisions/0012).

It terminates because each application removes one ConvTranspose and adds none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ...convert.graph import (
    attribute,
    constant,
    drop_dead,
    name_of,
    new_initializer,
    take_over,
    typed_like,
)

_MOST_WORK = 2.5
"""Largest allowed increase of multiplications; zeros in the kernel are multiplied too."""


def _taps(size: int, stride: int, pad: int) -> dict[tuple[int, int], int]:
    """Return {(phase a, offset in x): index k} of one axis, by a + pad - k = stride * offset."""
    found = {}
    for phase in range(stride):
        for k in range(size):
            if (phase + pad - k) % stride == 0:
                found[phase, (phase + pad - k) // stride] = k
    return found


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
    found = np.zeros(shape, np.float32)  # (s, s, O, C, h, w)
    for (a, y), ky in rows.items():
        for (b, x), kx in columns.items():
            found[a, b, :, :, y - top, x - left] = weights[:, :, ky, kx].T  # (C, O) -> (O, C)
    return found.reshape(-1, *shape[3:]), [-top, -left, bottom, right]


def _lower(graph: ir.Graph, node: ir.Node) -> bool:
    weights, shape = constant(node.inputs[1]), node.outputs[0].shape
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    source = node.inputs[0]
    if weights is None or weights.ndim != 4 or shape is None or source is None:
        return False
    stride, *others = attribute(node, "strides", (1, 1))
    is_plain = (
        attribute(node, "group", 1) == 1
        and set(attribute(node, "dilations", (1,))) == {1}
        and attribute(node, "auto_pad", "NOTSET") == "NOTSET"
        and attribute(node, "output_shape") is None  # it would override the pads
        and others == [stride]
        and stride > 1
        and (len(node.inputs) < 3 or node.inputs[2] is None or bias is not None)
    )
    held = source.shape
    # The output is exactly s times the input, so that DepthToSpace alone can interleave the phases.
    if not is_plain or held is None or [shape[i] for i in (2, 3)] != [
        size * stride if isinstance(size := held[i], int) else None for i in (2, 3)
    ]:  # fmt: skip
        return False
    top, left, *_ = attribute(node, "pads", (0, 0, 0, 0))
    # Phase weights (s*s*O, C, h, w).
    phases, pads = _phases(weights, stride, (top, left))
    if phases.size > _MOST_WORK * weights.size:
        return False
    name = name_of(node.outputs[0])
    inputs = [source, new_initializer(graph, phases, f"{name}.phase_weight")]
    if bias is not None:
        tiled = np.tile(bias, stride * stride)  # (O,) -> (s*s*O,), the same for each phase
        inputs.append(new_initializer(graph, tiled, f"{name}.phase_bias"))
    conv = ir.node("Conv", inputs, attributes={"pads": pads}, name=f"{name}_phases")
    typed_like(conv.outputs[0], source)
    conv.outputs[0].shape = ir.Shape([held[0], len(phases), held[2], held[3]])
    conv.outputs[0].name = f"{name}_phases"
    place = ir.node(
        "DepthToSpace", conv.outputs, attributes={"blocksize": stride, "mode": "DCR"}, name=name
    )
    place.outputs[0].type, place.outputs[0].shape = node.outputs[0].type, shape
    graph.insert_after(node, [conv, place])
    take_over(node.outputs[0], place.outputs[0])
    graph.remove(node, safe=True)
    return True


def lower_deconvolutions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with every ConvTranspose lowered whose output is s times its input.

    Returns the model itself if there is none.
    """
    copy = ir.from_proto(model)
    found = [node for node in copy.graph if node.op_type == "ConvTranspose"]
    if not sum(_lower(copy.graph, node) for node in found):
        return model
    drop_dead(copy)
    return ir.to_proto(copy)
