"""Replace an elementwise subgraph of one input by the activation that it computes.

    0.5 * x * erfc(-x / sqrt(2))                         ->  Gelu(x)
    0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))) ->  Gelu<approximate=tanh>(x)
    x * sigmoid(x)                                       ->  stays (TensorRT and OpenVINO fuse it)
    x * clip(x + 3, 0, 6) / 6                            ->  HardSwish(x)
    x * tanh(softplus(x))                                ->  Mish(x)
    clip(x + 3, 0, 6) / 6,  clip(0.2 x + 0.5, 0, 1)      ->  HardSigmoid<alpha, beta = 0.5>(x)

How the function is written does not matter: the subgraph runs on a grid and is compared with each
function in double precision. The tolerance is 3e-6 absolute from -12 to 12, and 1e-5 of the value
at some points further out. All constants of the subgraph must be scalars, and no other node may
read its inner values.

Termination: each rewrite replaces two or more nodes by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..analysis.regions import Region, RegionRule, evaluate, raise_regions, submodel
from ..graph import constant, name_of, shape_of, static_shape
from ..node_builder import NodeBuilder
from ..outcome import Outcome

_ELEMENTWISE = {
    *("Abs", "Add", "Clip", "Div", "Erf", "Exp", "HardSigmoid", "Log", "Max", "Min", "Mul", "Neg"),
    *("Pow", "Reciprocal", "Relu", "Sigmoid", "Softplus", "Sqrt", "Square", "Sub", "Tanh"),
}
_TYPICAL = {"Erf", "Tanh", "Clip", "Min", "HardSigmoid", "Softplus", "Log"}
"""Every known activation contains at least one of these ops."""
_FAR = np.array([15, 18, 25, 40, 70, 100, 300, 1e3, 1e4, 1e5, 1e6])
"""Points beyond -12 to 12: a clip may change large values only."""
_GRID = np.concatenate([-_FAR[::-1], np.linspace(-12, 12, 4801), _FAR])
_TOLERANCE = 3e-6
_FAR_TOLERANCE = 1e-5  # relative to the value


@dataclass(frozen=True, kw_only=True)
class _Activation:
    op_type: str
    function: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
    attributes: dict[str, str | float] = field(default_factory=dict)


def _gelu(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.array([0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x])


def _gelu_tanh(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


_ACTIVATIONS = (
    _Activation(op_type="Gelu", function=_gelu),
    _Activation(op_type="Gelu", function=_gelu_tanh, attributes={"approximate": "tanh"}),
    _Activation(op_type="HardSwish", function=lambda x: x * np.clip(x + 3, 0, 6) / 6),
    _Activation(op_type="Mish", function=lambda x: x * np.tanh(np.logaddexp(x, 0))),
    _Activation(
        op_type="HardSigmoid",
        function=lambda x: np.clip(x / 6 + 0.5, 0, 1),
        attributes={"alpha": 1 / 6, "beta": 0.5},
    ),
    _Activation(
        op_type="HardSigmoid",
        function=lambda x: np.clip(x / 5 + 0.5, 0, 1),
        attributes={"alpha": 0.2, "beta": 0.5},
    ),
)


def _is_scalar_math(node: ir.Node) -> bool:
    if node.op_type not in _ELEMENTWISE or len(node.outputs) != 1:
        return False
    constants = (constant(v) for v in node.inputs if v is not None)
    return all(array is None or array.size == 1 for array in constants)


def _activation_of(model: ir.Model, region: Region) -> _Activation | None:
    """Return the activation that a region computes, or None if it is none of the list."""
    proto = submodel(model, [region.source], region.result, region.nodes)
    # The subgraph is elementwise with constants of one element, so it accepts any shape of its
    # rank: (1, .., 1, grid points). A constant (1, 1, 1, 1) makes a result of lower rank longer.
    shape = (*(1 for _ in shape_of(region.source)[1:]), len(_GRID))
    del proto.graph.input[0].type.tensor_type.shape.dim[:]
    for size in shape:
        proto.graph.input[0].type.tensor_type.shape.dim.add().dim_value = size
    result = evaluate(proto, {name_of(region.source): _GRID.astype(np.float32).reshape(shape)})
    if result is None or result.shape != shape:
        return None
    result = result.reshape(-1)  # (grid points,)
    # Far outside the grid the subgraph may overflow; the op's finite value is better there.
    checked = np.isfinite(result) | (np.abs(_GRID) <= _FAR[0])
    for activation in _ACTIVATIONS:
        expected = activation.function(_GRID)
        # Outside the grid the numbers are large, so the error is relative to them.
        allowed = _TOLERANCE + _FAR_TOLERANCE * np.abs(expected) * (np.abs(_GRID) >= _FAR[0])
        if (np.abs(result - expected) <= allowed)[checked].all():
            return activation
    return None


def _fits(region: Region) -> bool:
    is_typical = any(node.op_type in _TYPICAL for node in region.nodes)
    is_float = region.source.dtype == ir.DataType.FLOAT and static_shape(region.source) is not None
    return len(region.nodes) > 1 and is_typical and is_float


def _replace(graph: ir.Graph, region: Region, activation: _Activation) -> None:
    build = NodeBuilder(graph)
    result = build.op(activation.op_type, region.source, attributes=activation.attributes)
    build.replace(region.nodes, result)


_RULE = RegionRule(
    largest=14,
    allows=_is_scalar_math,
    fits=_fits,
    explain=_activation_of,
    replace=_replace,
    otherwise="it is an elementwise function of one value, but no ONNX op computes it",
    is_reported=lambda region: len(region.nodes) >= 3,  # smaller ones are not worth it
)


def raise_activations(model: ir.Model) -> Outcome:
    """Replace each activation that is written out by its op."""
    return raise_regions(model, _RULE)
