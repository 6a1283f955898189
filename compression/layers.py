"""The layers whose weights compression changes: Conv, Gemm and MatMul with constant weights.

A layer multiplies rows by a matrix. A row holds what one output position reads, (in * taps,): all
taps of the first input channel, then those of the next one. So the matrix of a Conv with weights
(O, I, kh, kw) is (I * kh * kw, O).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..convert.audit import node_flops
from ..convert.graph import (
    array_of,
    attribute,
    constant,
    consumers,
    graph_of,
    input_of,
    is_read,
    name_of,
    not_none,
)

Matrix = npt.NDArray[np.float64]
Kind = Literal["Conv", "Gemm", "MatMul"]
_SPATIAL_RANKS = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """What each output position of a Conv reads. All tuples have one entry per spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    begins: tuple[int, ...]
    """Padding in front of the first entry of each axis."""
    ends: tuple[int, ...]
    dilations: tuple[int, ...]
    read: tuple[int, ...]
    """Size of the input, for example (H, W), without padding."""
    made: tuple[int, ...]
    """Size of the output."""

    @property
    def taps(self) -> int:
        """Number of positions that one window reads."""
        return int(np.prod(self.kernel))


@dataclass(frozen=True, kw_only=True)
class WeightedLayer:
    """One layer. Its result is ``rows @ weights + bias``."""

    name: str
    """First output of the op."""
    kind: Kind
    source: str
    """The tensor that it reads: (N, C, H, W) or (N, C, L) of a Conv, (..., C) of the others."""
    weights: npt.NDArray[np.float32]
    """(in / groups * taps, out)."""
    bias: npt.NDArray[np.float32] | None
    """(out,). For a MatMul: the constant that the Add behind it adds, if only the Add reads it."""
    groups: int = 1
    windows: Windows | None = None
    """None for Gemm and MatMul."""
    flops: int
    """Floating-point operations at batch 1; a multiply-add counts as two."""

    @property
    def taps(self) -> int:
        """Number of positions that one row covers: kh * kw of a Conv, 1 of the others."""
        return self.windows.taps if self.windows is not None else 1

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return len(self.weights) // self.taps * self.groups

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return self.weights.shape[1]

    @property
    def can_shift(self) -> bool:
        """Whether a constant can be added to each output channel without a new node."""
        return self.kind != "MatMul" or self.bias is not None


def weighted_layers(graph: ir.Graph) -> list[WeightedLayer]:
    """Return the layers of the main graph with constant float32 weights, in graph order.

    Left out: a Conv with 3 spatial axes, a computed bias or unknown sizes, a transposed A of Gemm,
    and weights of a MatMul that are not a matrix on its right side.
    """
    return [layer for node in graph if (layer := layer_of(node)) is not None]


def layer_of(node: ir.Node) -> WeightedLayer | None:
    """Return the layer of a node; None if it is not one of :func:`weighted_layers`."""
    if node.op_type not in ("Conv", "Gemm", "MatMul") or node.domain not in ("", "ai.onnx"):
        return None
    weights = constant(node.inputs[1])
    if weights is None or weights.dtype != np.float32 or constant(node.inputs[0]) is not None:
        return None
    return _conv(node, weights) if node.op_type == "Conv" else _product(node, weights)


def _conv(node: ir.Node, weights: npt.NDArray[np.float32]) -> WeightedLayer | None:
    windows, bias = _windows(node, weights.shape[2:]), input_of(node, 2)
    if windows is None or (bias is not None and constant(bias) is None):
        return None
    return WeightedLayer(
        name=name_of(node.outputs[0]),
        kind="Conv",
        source=name_of(node.inputs[0]),
        weights=weights.reshape(len(weights), -1).T,  # (O, I, kh, kw) -> (I * kh * kw, O)
        bias=constant(bias),
        groups=attribute(node, "group", 1),
        windows=windows,
        flops=node_flops(node),
    )


def _windows(node: ir.Node, kernel: tuple[int, ...]) -> Windows | None:
    """Return the windows of a Conv; None if a size is not known."""
    axes, sizes = len(kernel), list[tuple[int, ...]]()
    for value in (node.inputs[0], node.outputs[0]):
        shape = value.shape if value is not None else None
        sizes.append(tuple(d for d in list(shape or ())[2:] if isinstance(d, int)))
    read, made = sizes
    if axes not in _SPATIAL_RANKS or len(read) != axes or len(made) != axes:
        return None
    strides = tuple(attribute(node, "strides", [1] * axes))
    dilations = tuple(attribute(node, "dilations", [1] * axes))
    pads = tuple(attribute(node, "pads", [0] * 2 * axes))
    begins, ends = pads[:axes], pads[axes:]
    automatic = attribute(node, "auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        total = [
            max(0, (m - 1) * s + span - r)
            for m, s, span, r in zip(made, strides, spans, read, strict=True)
        ]
        less, more = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
        begins, ends = (less, more) if automatic == "SAME_UPPER" else (more, less)
    elif automatic == "VALID":
        begins = ends = (0,) * axes
    return Windows(
        kernel=kernel,
        strides=strides,
        begins=begins,
        ends=ends,
        dilations=dilations,
        read=read,
        made=made,
    )


def _product(node: ir.Node, weights: npt.NDArray[np.float32]) -> WeightedLayer | None:
    """Return the layer of a MatMul (..., K) x (K, M) or of a Gemm."""
    source, is_gemm = not_none(node.inputs[0]), node.op_type == "Gemm"
    if weights.ndim != 2 or attribute(node, "transA", 0) or source.shape is None:
        return None
    if len(source.shape) < 2:
        return None
    if is_gemm:
        if input_of(node, 2) is not None and constant(node.inputs[2]) is None:
            return None
        weights = weights.T if attribute(node, "transB", 0) else weights
        weights = weights * np.float32(attribute(node, "alpha", 1.0))
        bias = _gemm_bias(node, weights.shape[1])
    else:
        found = added_constant(node)
        bias = found[0].reshape(-1) if found is not None else None
    return WeightedLayer(
        name=name_of(node.outputs[0]),
        kind="Gemm" if is_gemm else "MatMul",
        source=name_of(source),
        weights=weights,
        bias=bias,
        flops=node_flops(node),
    )


def _gemm_bias(node: ir.Node, outputs: int) -> npt.NDArray[np.float32] | None:
    """Return beta C as (out,); None without C."""
    bias = constant(input_of(node, 2))
    if bias is None:
        return None
    scaled = bias.reshape(-1) * np.float32(attribute(node, "beta", 1.0))
    return np.ascontiguousarray(np.broadcast_to(scaled, (outputs,)))


def added_constant(node: ir.Node) -> tuple[npt.NDArray[np.float32], ir.Node, int] | None:
    """Return the constant that an Add adds to each channel of a MatMul, the Add and its input."""
    users = consumers(node.outputs[0])
    if len(users) != 1 or users[0].op_type != "Add" or node.outputs[0].is_graph_output():
        return None
    outputs = array_of(node.inputs[1]).shape[1]
    for index, value in enumerate(users[0].inputs):
        bias = constant(value)
        # (out,) or (1, 1, out): anything else is not one number per channel.
        if bias is not None and bias.size == outputs and bias.shape[-1:] == (outputs,):
            return bias, users[0], index
    return None


def set_weights(node: ir.Node, weights: Matrix, bias: Matrix | None) -> None:
    """Give a layer new weights (in / groups * taps, out) and a new bias (out,).

    The node keeps its old bias if ``bias`` is None. A Conv or Gemm without a bias gets one.
    """
    matrix, name = weights.astype(np.float32), name_of(node.outputs[0])
    if node.op_type == "Conv":
        kernel = attribute(node, "kernel_shape", array_of(node.inputs[1]).shape[2:])
        matrix = matrix.T.reshape(matrix.shape[1], -1, *kernel)  # (O, I, kh, kw)
    elif node.op_type == "Gemm":
        if bias is None and (old := layer_of(node)) is not None and old.bias is not None:
            bias = old.bias.astype(np.float64)
        for scale in ("alpha", "beta", "transB"):  # they are in the weights that a layer states
            node.attributes.pop(scale, None)
    _set_constant(node, 1, matrix, f"{name}.weight")
    if bias is not None:
        set_bias(node, bias)


def set_bias(node: ir.Node, bias: Matrix) -> None:
    """Give a layer a new bias (out,); its weights stay shared with other layers that have them.

    A MatMul has a bias if only an Add of a constant reads its result.
    """
    vector, name = bias.astype(np.float32), name_of(node.outputs[0])
    node.attributes.pop("beta", None)  # a factor of a Gemm's bias, which is in the one it states
    if node.op_type != "MatMul":
        _set_constant(node, 2, vector, f"{name}.bias")
    elif (found := added_constant(node)) is not None:
        old_bias, add, index = found
        _set_constant(add, index, vector.reshape(old_bias.shape), f"{name}.bias")


def _set_constant(node: ir.Node, index: int, array: npt.NDArray[np.float32], name: str) -> None:
    """Replace a constant input. A constant that other nodes read too stays for them."""
    graph, old = graph_of(node), input_of(node, index)
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, None)
    if old is not None and old.name in graph.initializers and not is_read(old):
        del graph.initializers[name_of(old)]
    register(graph, node, index, array, name)


def register(
    graph: ir.Graph, node: ir.Node, index: int, array: npt.NDArray[np.float32], name: str
) -> None:
    """Make a new constant an input of a node, under a free name that begins with ``name``."""
    free, number = name, 1
    while free in graph.initializers:
        number += 1
        free = f"{name}_{number}"
    value = ir.Value(
        name=free,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.FLOAT),
        const_value=ir.tensor(np.ascontiguousarray(array), name=free),
    )
    graph.register_initializer(value)
    node.replace_input_with(index, value)
