"""Deconvolutions in a row, as in the head of differentiable binarization -> 1x1 Convs.

A deconvolution whose kernel is as large as its stride s writes each pixel of its input to an s x s
block of its own, so it is a 1x1 Conv with s*s times the channels (the phases) and DepthToSpace D:

    deconv(x, w)  =  D_s(Conv(x, w'))               w'[(a s + b) O + o] = w[:, o, a, b]

D only moves pixels, so it commutes with what computes every pixel alone: activations f, and the
next 1x1 Conv, which is applied to the channels of each of the P phases (block diagonal weights):

    deconv(f(deconv(x, v)), w)  =  D_st(Conv(f(Conv(x, v')), diag(w', .., w')))

The rows of diag are sorted as D_st requires. The activations behind the last deconvolution move in
front of D, too. All sums have the same order plus terms that are 0, and only the last result, which
has few channels, is moved. Each application removes two deconvolutions, so it terminates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..convert.graph import (
    attribute,
    constant,
    constant_input,
    consumers,
    has_one_use,
    input_of,
    name_of,
    new_initializer,
    not_none,
)
from ..convert.node_builder import NodeBuilder

_POINTWISE = {
    "Cast", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "Relu", "Selu",
    "Sigmoid", "Softplus", "Swish", "Tanh",
}  # fmt: skip
"""Ops that compute each number from one number of their only input."""
_MAX_WORK = 2.5
"""Largest allowed ratio of multiplications after and before; zeros of weights count too."""
_MOST_RESULTS = 16
"""Channels of the last Conv, s*t squared times the outputs; DepthToSpace is slow with more."""


@dataclass(frozen=True, kw_only=True)
class _Deconvolution:
    """A deconvolution whose kernel is as large as its stride."""

    weights: npt.NDArray[np.float32]
    """(C, O, s, s)."""
    bias: npt.NDArray[np.float32]
    """(O,)."""

    @property
    def stride(self) -> int:
        return self.weights.shape[-1]

    @classmethod
    def of(cls, node: ir.Node) -> _Deconvolution | None:
        """Return the weights of a node; None if it is another op or its blocks overlap."""
        if node.op_type != "ConvTranspose" or node.domain:
            return None
        weights, bias = constant(node.inputs[1]), constant_input(node, 2)
        if weights is None or weights.ndim != 4 or weights.dtype != np.float32:
            return None
        if bias is None and input_of(node, 2) is not None:  # it varies
            return None
        sides = list(weights.shape[2:])
        is_plain = (
            attribute(node, "group", 1) == 1
            and set(attribute(node, "dilations", (1,))) == {1}
            and attribute(node, "auto_pad", "NOTSET") in ("NOTSET", "VALID")
            and not any(attribute(node, "pads", (0,)))
            and not any(attribute(node, "output_padding", (0,)))
            and attribute(node, "output_shape") is None
        )
        is_disjoint = list(attribute(node, "strides", (1, 1))) == sides and sides[0] == sides[1] > 1
        if not is_plain or not is_disjoint:
            return None
        own = np.zeros(weights.shape[1], np.float32) if bias is None else bias
        return cls(weights=weights, bias=own)

    def phases(self, side: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return weights (R, side * side * C, 1, 1) and bias (R,) of the Conv for all phases.

        ``side``: the Conv reads side x side phases of C channels, in the order of DepthToSpace.
        """
        channels, outputs, stride, _ = self.weights.shape
        own = self.weights.transpose(2, 3, 1, 0)  # (s, s, O, C)
        # (row, a, column, b, O, row, column, C): only equal rows and columns are not zero.
        wide = np.zeros((side, stride, side, stride, outputs, side, side, channels), np.float32)
        for row in range(side):
            for column in range(side):
                wide[row, :, column, :, :, row, column] = own
        results = (side * stride) ** 2 * outputs
        bias = np.tile(self.bias, (side * stride) ** 2)  # (R,), the same for each phase
        return wide.reshape(results, -1, 1, 1), bias


def lower_deconvolution_chains(model: ir.Model) -> int:
    """Rewrite chains of at least two deconvolutions in place; return their number."""
    # A list first, because the loop changes the graph.
    chains = list(_chains(model.graph))
    for chain in chains:
        _lower(model.graph, chain)
    return len(chains)


def chained_deconvolutions(model: onnx.ModelProto) -> set[str]:
    """Return the names of the deconvolutions that :func:`lower_deconvolution_chains` replaces."""
    chains = _chains(ir.from_proto(model).graph)
    nodes = (node for chain in chains for node in chain if node.op_type == "ConvTranspose")
    return {str(node.name) for node in nodes}


def _chains(graph: ir.Graph) -> Iterator[list[ir.Node]]:
    """Yield each chain that is worth rewriting."""
    for node in graph:
        if not _starts(node) or not_none(node.inputs[0]).shape is None:
            continue
        chain = _chain(node)
        if _is_worthwhile([each for own in chain if (each := _Deconvolution.of(own)) is not None]):
            yield chain


def _starts(node: ir.Node) -> bool:
    """Whether a node is the first deconvolution of its chain."""
    if _Deconvolution.of(node) is None:
        return False
    above = not_none(node.inputs[0]).producer()
    while above is not None and _is_pointwise(above) and has_one_use(above.outputs[0]):
        above = not_none(above.inputs[0]).producer()
    return above is None or _Deconvolution.of(above) is None or not has_one_use(above.outputs[0])


def _is_pointwise(node: ir.Node) -> bool:
    return node.op_type in _POINTWISE and not node.domain


def _chain(node: ir.Node) -> list[ir.Node]:
    """Return a deconvolution with the activations and deconvolutions that only it leads to."""
    chain = [node]
    while has_one_use(chain[-1].outputs[0]) and not chain[-1].outputs[0].is_graph_output():
        (reader,) = consumers(chain[-1].outputs[0])
        if not _is_pointwise(reader) and _Deconvolution.of(reader) is None:
            break
        chain.append(reader)
    return chain


def _is_worthwhile(deconvolutions: Sequence[_Deconvolution]) -> bool:
    """Whether the last Conv has few results, and zeros do not add much work."""
    before, after, phases = 0, 0, 1
    for each in deconvolutions:
        before += phases * each.weights.size
        after += phases * each.weights.size * phases  # block diagonal weights
        phases *= each.stride**2
    results = phases * len(deconvolutions[-1].bias)
    return len(deconvolutions) > 1 and results <= _MOST_RESULTS and after <= _MAX_WORK * before


def _lower(graph: ir.Graph, chain: Sequence[ir.Node]) -> None:
    value = not_none(chain[0].inputs[0])
    build, side = NodeBuilder(graph), 1
    sizes = list(value.shape or ())  # (N, C, H, W), of which all but C stay until DepthToSpace
    for node in chain:
        old, own = node.outputs[0], _Deconvolution.of(node)
        if own is None:
            value = build.op(
                node.op_type, value, dtype=old.dtype, name=node.name, attributes=_attributes(node)
            )
        else:
            weights, bias = own.phases(side)
            side *= own.stride
            named = {"phase_weight": weights, "phase_bias": bias}
            inputs = [new_initializer(graph, a, f"{name_of(old)}.{n}") for n, a in named.items()]
            value = build.op("Conv", value, *inputs, name=node.name, pads=[0, 0, 0, 0])
            sizes[1] = len(weights)
        value.name, value.shape = f"{name_of(old)}_phases", ir.Shape(sizes)
    # (N, side * side * O, H, W) -> (N, O, side * H, side * W)
    name = f"{chain[-1].name}_pixels"
    result = build.op("DepthToSpace", value, name=name, blocksize=side, mode="DCR")
    build.replace(chain, result)


def _attributes(node: ir.Node) -> dict[str, ir.Attr]:
    return {name: each for name, each in node.attributes.items() if isinstance(each, ir.Attr)}
