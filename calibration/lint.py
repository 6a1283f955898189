"""Lint a graph with Q/DQ pairs: which convolutions and matrix products TensorRT runs in int8.

Most misplaced pairs cause no error and no warning: the op runs in float, with extra kernels that
dequantize its weights. The rules were observed on TensorRT-RTX 1.7, by building without a GPU. The
graph may come from any tool.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common

from ..common.onnx_shapes import infer_shapes
from ..convert.audit import node_flops
from ..convert.graph import attribute, constant, name_of, producer

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_INTEGER_OPS = frozenset(
    {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"}
)
_TRANSPARENT = frozenset(
    {
        *("Reshape", "Transpose", "Slice", "Squeeze", "Unsqueeze", "Flatten", "Identity"),
        *("DepthToSpace", "SpaceToDepth", "MaxPool", "Pad"),
    }
)
"""Ops through which TensorRT moves Q/DQ pairs."""

Runs = Literal["int8", "float", "refused", "differs"]
"""``differs``: TensorRT computes something else than ONNX specifies."""


@dataclass(frozen=True, kw_only=True)
class LintResult:
    """The result for one op."""

    node: str
    op_type: str
    runs: Runs
    reason: str
    """Why it does not run in int8, or a remark on an op that does; may be ""."""
    flops: int


class _RulingError(Exception):
    """Ends the checks of an op that does not run in int8, with the result and the reason."""

    def __init__(self, runs: Runs, reason: str) -> None:
        super().__init__(reason)
        self.runs: Runs = runs


def is_quantized(model: ir.Model) -> bool:
    """Whether a graph contains quantized ops or Q/DQ pairs."""
    return any(
        node.op_type in ("QuantizeLinear", "DequantizeLinear")
        or node.op_type in _INTEGER_OPS
        or node.op_type.startswith("QLinear")
        for node in model.graph
    )


def prepared(model: ir.Model) -> ir.Model:
    """Lift constants to initializers and infer types, as ``lint`` needs. Changes the graph."""
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.IdentityEliminationPass()(model)
    infer_shapes(model)
    return model


def lint(model: ir.Model) -> tuple[LintResult, ...]:
    """Return results for all weighted ops, bad pairs and integer ops of a prepared graph."""
    found = []
    opset = model.graph.opset_imports.get("", 1)
    for node in model.graph:
        try:
            if node.op_type in _INTEGER_OPS or node.op_type.startswith("QLinear"):
                raise _RulingError(
                    "refused",
                    f"TensorRT has no {node.op_type}; use the float op with Q/DQ pairs around it",
                )
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                _check_parameters(node, opset)
                continue
            if node.op_type not in _WEIGHTED:
                continue
            found.append(_judged(node, "int8", _check_op(node)))
        except _RulingError as ruling:
            found.append(_judged(node, ruling.runs, str(ruling)))
    return tuple(found)


def _judged(node: ir.Node, runs: Runs, reason: str) -> LintResult:
    return LintResult(
        node=node.name or name_of(node.outputs[0]),
        op_type=node.op_type,
        runs=runs,
        reason=reason,
        flops=node_flops(node),
    )


def _parameter(node: ir.Node, index: int) -> npt.NDArray | None:
    """Return a scale or zero point, which must be constant; None if it is absent."""
    value = node.inputs[index] if len(node.inputs) > index else None
    array = constant(value)
    if value is not None and array is None:
        name = ("input", "scale", "zero point")[index]
        raise _RulingError(
            "refused", f"its {name} is computed from data, which crashes TensorRT's builder"
        )
    return array


def _check_parameters(node: ir.Node, opset: int) -> None:
    """Check the scale and the zero point of a Q or DQ.

    Raises:
        _RulingError: TensorRT refuses them, or interprets them in another way than ONNX.
    """
    scale, zero = _parameter(node, 1), _parameter(node, 2)
    assert scale is not None
    if not (scale > 0).all():  # true for NaN too
        raise _RulingError("refused", "a scale is not above 0; give dead channels a small scale")
    if zero is not None and zero.any():
        raise _RulingError(
            "refused",
            f"its zero point is {zero[zero != 0].reshape(-1)[0]}, but TensorRT accepts 0 only: "
            "quantize symmetrically",
        )
    is_dq, source = node.op_type == "DequantizeLinear", node.inputs[0]
    if is_dq and source is not None and source.dtype == ir.DataType.INT32:
        raise _RulingError("refused", "it dequantizes int32; keep the bias in float")
    array = constant(source)
    # Scales per channel can be checked where the tensor is a constant: weights.
    if scale.ndim == 1 and scale.size > 1 and array is not None:
        axis = attribute(node, "axis", 1)
        if array.shape[axis] != scale.size:
            raise _RulingError(
                "refused",
                f"it has {scale.size} scales for axis {axis}, which has {array.shape[axis]} "
                "entries",
            )
    if zero is not None and zero.dtype == np.uint8:
        raise _RulingError(
            "differs",
            "its type is uint8 (0 to 255), but TensorRT uses int8 (-128 to 127); use int8",
        )
    # Without a zero point, ONNX's default output is uint8. From opset 21 on, an attribute can state
    # another type.
    if zero is None and not is_dq and not (attribute(node, "output_dtype", 0) and opset >= 21):
        raise _RulingError(
            "differs",
            "it has no zero point, so its type is uint8 in ONNX but int8 in TensorRT; add an "
            "int8 zero point of 0",
        )


def _check_op(node: ir.Node) -> str:
    """Return a remark on an op that runs in int8, or "".

    Raises:
        _RulingError: the op does not run in int8.
    """
    activation, weights = _quantized(node, 0), _quantized(node, 1)
    if node.op_type == "ConvTranspose":
        if activation or weights:
            raise _RulingError(
                "float", "TensorRT has no int8 deconvolution; Q/DQ pairs around it only add work"
            )
        raise _RulingError("float", "TensorRT has no int8 deconvolution")
    if activation is None and weights is None:
        raise _RulingError("float", _why_not(node, 0))
    if activation is None:
        raise _RulingError("float", f"only its weights are quantized: {_why_not(node, 0)}")
    if weights is None:
        raise _RulingError("float", "only its input is quantized, not its weights")
    _check_activation(node, activation)
    # Neither int8 constants behind a DQ, nor float constants behind Q and DQ: an activation.
    if constant(weights.inputs[0]) is None and _weights_of(weights) is None:
        _check_activation(node, weights)
        return "both inputs depend on the image: Q/DQ here prevents the fused attention kernel"
    return _check_weights(node, weights)


def _quantized(node: ir.Node, index: int) -> ir.Node | None:
    """Return the DequantizeLinear that an input comes from, through transparent ops; or None."""
    return _dequantizer(node.inputs[index])


def _dequantizer(value: ir.Value | None) -> ir.Node | None:
    while value is not None:
        node = value.producer()
        if node is None:
            return None
        if node.op_type == "DequantizeLinear":
            return node
        # A pair passes a Concat only if all parts have one; then they are as good as one pair.
        if node.op_type == "Concat":
            return _same_scale([_dequantizer(part) for part in node.inputs])
        if node.op_type not in _TRANSPARENT:
            return None
        value = node.inputs[0]
    return None


def _same_scale(nodes: Iterable[ir.Node | None]) -> ir.Node | None:
    """Return the first of several DequantizeLinear if all exist and have the same scale."""
    found = list(nodes)
    scales = [constant(node.inputs[1]) if node is not None else None for node in found]
    first = scales[0]
    if first is None or any(s is None or not np.array_equal(s, first) for s in scales):
        return None
    return found[0]


def _why_not(node: ir.Node, index: int) -> str:
    """Return what keeps a pair from reaching an input of an op."""
    value = node.inputs[index]
    blocker = value.producer() if value is not None else None
    while blocker is not None and blocker.op_type in _TRANSPARENT:
        value = blocker.inputs[0]
        blocker = value.producer() if value is not None else None
    if blocker is None:
        return "its input is not quantized"
    kind, behind = blocker.op_type, [_dequantizer(part) for part in blocker.inputs]
    if kind == "Concat" and all(behind):
        return "the inputs of the Concat have different scales; put one Q/DQ pair after it"
    if kind == "Concat" and any(behind):
        return "only some inputs of the Concat are quantized; put one Q/DQ pair after it"
    if behind and behind[0] is not None and kind not in _WEIGHTED:
        return f"a {kind} is between the Q/DQ pair and this op; put the pair after the {kind}"
    return "its input is not quantized"


def _check_activation(node: ir.Node, pair: ir.Node) -> None:
    """Check that the scale of an activation is one number of a rank that TensorRT accepts."""
    scale = _parameter(pair, 1)
    assert scale is not None
    if scale.ndim == 0 or (scale.size == 1 and node.op_type != "Conv"):
        return
    if scale.size == 1:
        raise _RulingError("float", "the scale of its input has shape [1]; expected a scalar")
    raise _RulingError("float", "its input has a scale per channel; only weights may have one")


def _weights_of(pair: ir.Node) -> npt.NDArray | None:
    """Return the constant that a DQ, or a Q and a DQ, reads; or None."""
    array = constant(pair.inputs[0])
    above = producer(pair.inputs[0], "QuantizeLinear")
    return array if array is not None or above is None else constant(above.inputs[0])


def _check_weights(node: ir.Node, pair: ir.Node) -> str:
    """Return a remark on the weights of an op that runs in int8, or "".

    Raises:
        _RulingError: the scales are of another axis than that of the outputs.
    """
    scale, array = _parameter(pair, 1), _weights_of(pair)
    assert scale is not None
    if scale.size == 1:
        remark = "the scale of its weights has shape [1]; every builder accepts a scalar"
        return remark if scale.ndim else ""
    if pair.outputs[0] is not node.inputs[1] or array is None:
        return ""  # behind a Transpose, either axis runs in int8
    axis = attribute(pair, "axis", 1) % array.ndim
    if axis != (outputs := _output_axis(node, array.ndim)):
        raise _RulingError(
            "float",
            f"its weights have a scale per entry of axis {axis}; expected axis {outputs}, the "
            "outputs",
        )
    return ""


def _output_axis(node: ir.Node, rank: int) -> int:
    """Return the axis of output channels in the weights of an op."""
    if node.op_type == "Conv":  # (O, I / group, kh, kw)
        return 0
    if node.op_type == "Gemm":  # (N, K) if transposed, else (K, N)
        return 0 if attribute(node, "transB", 0) else 1
    return rank - 1  # MatMul (.., K, N)
