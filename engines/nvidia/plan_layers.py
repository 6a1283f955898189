"""The layers of a plan: precision, fusion and kernels as TensorRT's EngineInspector reports them.

Its JSON has two forms. TensorRT 10 states format and type of a tensor in one text,
"Format/Datatype"; TensorRT 11 has "DataType" and "Format" (see "Migrating IEngineInspector Usage
from TensorRT 10.x to 11.x" in its documentation).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.json_files import read_json
from ...errors import InputFileError
from .logger import logger_of

if TYPE_CHECKING:
    import onnx_ir as ir

LAYERS_SUFFIX = ".layers.json"
LARGEST = 64 << 20
"""Largest size of a file in bytes; larger files are refused."""

# Order matters: "bfloat16" contains "float16", which contains "float".
_TYPES = (
    ("int8", re.compile(r"int8", re.I)),
    ("fp8", re.compile(r"fp8|float8", re.I)),
    ("bf16", re.compile(r"bf16|bfloat16", re.I)),
    ("fp16", re.compile(r"fp16|float16|half", re.I)),
    ("fp32", re.compile(r"fp32|float32|float", re.I)),
    ("int32", re.compile(r"int32", re.I)),
    ("int64", re.compile(r"int64", re.I)),
    ("bool", re.compile(r"bool", re.I)),
)
_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")


@dataclass(frozen=True, kw_only=True)
class EngineLayer:
    """One layer of a plan.

    Attributes:
        name: in TensorRT.
        kind: such as "CaskConvolution", "kgen" or "Reformat".
        precision: the type of its weights, or else of its first input; "" if the plan does not
            state it.
        nodes: the ONNX nodes that it computes; several if it is fused.
        tactic: the kernel that the builder chose.
    """

    name: str
    kind: str
    precision: str
    nodes: tuple[str, ...]
    tactic: str


def inspected(trt: Any, plan: bytes) -> str | None:
    """Load a plan and return EngineInspector's JSON text. Needs a GPU.

    None if the plan cannot be loaded or has no weights; the build succeeds without this text.
    """
    runtime = trt.Runtime(logger_of(trt))
    runtime.engine_host_code_allowed = True  # it was built by this process
    engine = runtime.deserialize_cuda_engine(plan)
    context = None if engine is None else engine.create_execution_context()
    if context is None:
        return None
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
            smallest, *_ = engine.get_tensor_profile_shape(name, 0)
            context.set_input_shape(name, smallest)
    inspector = engine.create_engine_inspector()
    # The inspector reports types only if the context has shapes.
    inspector.execution_context = context
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def layers_from_file(path: Path) -> tuple[EngineLayer, ...]:
    """Read a file with the result of :func:`inspected`.

    Raises:
        InputFileError: the file is too large, not JSON, or not from EngineInspector.
    """
    data = read_json(path, limit=LARGEST)
    layers = data.get("Layers") if isinstance(data, dict) else None
    if not isinstance(layers, list):
        raise InputFileError(f'{path}: contains no list "Layers"; build the bundle again')
    return tuple(_layer(layer) for layer in layers)


def not_in_int8(model: ir.Model, layers: Iterable[EngineLayer]) -> dict[str, str]:
    """Return the ops that are int8 in a quantized graph but not in its plan: name -> precision.

    Ops that no layer lists are left out, because generated kernels do not always list their ops.

    Args:
        model: the quantized graph as it was built; it is modified.
        layers: of its plan.
    """
    # Here, because every command that names a target imports this module.
    from ...calibration.lint import lint, prepared

    of_node = {node: layer for layer in layers for node in layer.nodes}
    promised = [judged.node for judged in lint(prepared(model)) if judged.runs == "int8"]
    precisions = {node: of_node[node].precision for node in promised if node in of_node}
    return {
        node: precision for node, precision in precisions.items() if precision not in ("int8", "")
    }


def _layer(layer: Any) -> EngineLayer:
    if not isinstance(layer, Mapping):  # a plan built with low verbosity lists names only
        return EngineLayer(name=str(layer), kind="", precision="", nodes=(), tactic="")
    name, metadata = str(layer.get("Name", "")), str(layer.get("Metadata", ""))
    return EngineLayer(
        name=name,
        kind=str(layer.get("LayerType", "")),
        precision=_precision(layer),
        nodes=tuple(_NODE.findall(metadata)),
        tactic=str(layer.get("TacticName", "")),
    )


def _precision(layer: Mapping[str, Any]) -> str:
    weights, inputs = layer.get("Weights"), layer.get("Inputs")
    if isinstance(weights, Mapping) and (known := _type(str(weights.get("Type", "")))):
        return known
    if isinstance(inputs, list) and inputs and isinstance(inputs[0], Mapping):
        first = inputs[0]
        return _type(str(first.get("DataType") or first.get("Format/Datatype") or ""))
    return ""


def _type(text: str) -> str:
    return next((name for name, pattern in _TYPES if pattern.search(text)), "")
