"""Conversions of clean ONNX graphs to torch modules that Torch-Pruning can trace; torch_pruner.py.

Torch-Pruning finds out which layers share channels from the graph of autograd. So it does not see
dependencies through integers, such as the places of max-unpooling, nor weights that are not in
layers, such as those of a MatMul with a constant. It takes axis 1 for the channels of Split.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
import onnx2torch
import onnxruntime
import torch
from onnx2torch.node_converters import registry
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OnnxMapping, OperationConverterResult
from torch import nn
from torch.nn import functional

_PASSING = ("Add", "Relu", "Sigmoid", "Softmax", "Reshape", "Transpose", "Gelu")
"""Ops behind a layer that keep its channels."""


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A graph as a torch module."""

    model: onnx.ModelProto
    """The graph that was converted."""
    module: nn.Module
    layers: dict[str, nn.Module]
    """The module of each node, by the first result of the node."""
    ignored: list[nn.Module]
    """Layers whose results keep all channels."""

    def constants(self) -> Iterator[tuple[str, int, Any]]:
        """Yield the constants of all nodes: first result, index of the input, array."""
        for node in self.model.graph.node:
            layer = self.layers.get(node.output[0])
            for index, array in _constants(node, layer):
                yield node.output[0], index, array


def _constants(node: onnx.NodeProto, layer: nn.Module | None) -> Iterator[tuple[int, Any]]:
    if isinstance(layer, nn.Sequential):  # padding and a convolution
        layer = layer[-1]
    if isinstance(layer, Reshape):
        yield 1, layer.new_shape()
    elif isinstance(layer, AddConstant):
        yield layer.index, layer.constant.detach().numpy()
    elif isinstance(layer, nn.Linear):
        yield 1, layer.weight.detach().numpy().T
    elif isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.LayerNorm)):
        yield 1, layer.weight.detach().numpy()
        if layer.bias is not None:
            yield 2, layer.bias.detach().numpy()


class MaxPoolArgmax(nn.Module):
    """Max-pooling that also returns places. ``is_tied``: autograd sees that they have channels."""

    def __init__(self, *, is_tied: bool) -> None:
        super().__init__()
        self.is_tied = is_tied

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled, place = functional.max_pool2d(x, 2, return_indices=True)
        return pooled, place.to(x.dtype) + 0 * pooled if self.is_tied else place.to(x.dtype)


class MaxUnpool(nn.Module):
    """The inverse of :class:`MaxPoolArgmax`."""

    def __init__(self, *, is_tied: bool) -> None:
        super().__init__()
        self.is_tied = is_tied

    def forward(self, values: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        if self.is_tied:
            values = values + 0 * place
        return functional.max_unpool2d(values, place.detach().long(), 2)


class AddConstant(nn.Module):
    """Add of a constant, which Torch-Pruning prunes along its last axis."""

    def __init__(self, constant: torch.Tensor, index: int) -> None:
        super().__init__()
        self.constant, self.index = nn.Parameter(constant), index

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.constant


class Reshape(nn.Module):
    """Reshape that keeps the batch and infers the last axis, so that channels may be removed."""

    def __init__(self, shape: list[int]) -> None:
        super().__init__()
        self.shape, self.made = shape, tuple(shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch_is_free = self.shape[0] == -1 and len(self.shape) > 1
        shape = [x.shape[0], *self.shape[1:-1], -1] if batch_is_free else self.shape
        result = x.reshape(shape)
        self.made = tuple(result.shape)
        return result

    def new_shape(self) -> Any:
        """Return the stated shape with the sizes of the last run."""
        pairs = zip(self.shape, self.made, strict=True)
        return torch.tensor([old if old == -1 else new for old, new in pairs]).numpy()


def _plain(model: onnx.ModelProto) -> Converted:
    return _converted(model, keeps_split=False)


def _inlined(model: onnx.ModelProto) -> Converted:
    return _plain(onnx.inliner.inline_local_functions(model))


def _standard(model: onnx.ModelProto) -> Converted:
    """Replace functions by standard ops as onnxruntime does, with the newest converter of each op.

    onnxruntime also folds constants, such as those of CastLike.
    """
    inlined = onnx.inliner.inline_local_functions(model)
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "model.onnx")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        onnxruntime.InferenceSession(
            inlined.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        standard = onnx.load(options.optimized_model_filepath)
    _register_newer(standard)
    return _plain(standard)


def _own_modules(model: onnx.ModelProto) -> Converted:
    return _with_modules(model, is_tied=False, keeps_split=False)


def _tied(model: onnx.ModelProto) -> Converted:
    return _with_modules(model, is_tied=True, keeps_split=False)


def _without_attention(model: onnx.ModelProto) -> Converted:
    return _with_modules(model, is_tied=True, keeps_split=True)


LEVELS: tuple[tuple[str, Callable[[onnx.ModelProto], Converted]], ...] = (
    ("clean graph", _plain),
    ("functions inlined", _inlined),
    ("standard ops, with converters of older opsets", _standard),
    ("own modules for max-pooling with places, Add, MatMul, Reshape and Gelu", _own_modules),
    ("own modules, places of max-unpooling tied to their channels", _tied),
    ("own modules, places tied, layers in front of Split not pruned", _without_attention),
)
"""Conversions, the one with the least help first."""


def _with_modules(model: onnx.ModelProto, *, is_tied: bool, keeps_split: bool) -> Converted:
    converters: dict[tuple[str, str], Any] = {
        ("ocr_trt", "MaxPoolArgmax2d"): _always(lambda: MaxPoolArgmax(is_tied=is_tied)),
        ("ocr_trt", "MaxUnpool2d"): _always(lambda: MaxUnpool(is_tied=is_tied)),
        ("", "Gelu"): _always(nn.GELU),
        ("", "Reshape"): _reshape,
        ("", "Add"): _add,
        ("", "MatMul"): _matmul,
    }
    for (domain, name), converter in converters.items():
        _register(model, domain, name, converter)
    _register_newer(model)
    return _converted(model, keeps_split=keeps_split)


def _register(model: onnx.ModelProto, domain: str, name: str, converter: Any) -> None:
    """Set the converter of an op at the opset of a graph, in place of that of onnx2torch."""
    opset = next((each.version for each in model.opset_import if each.domain == domain), None)
    if opset is None:
        return
    version = opset
    if not domain:
        version = onnx.defs.get_schema(name, opset, domain).since_version
    key = registry.OperationDescription(domain, name, version)
    known = registry._CONVERTER_REGISTRY.get(key)
    own = getattr(known, "original", known)

    def chosen(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
        found = converter(node, graph)
        return own(node, graph) if found is None else found

    chosen.original = own  # type: ignore[attr-defined]
    registry._CONVERTER_REGISTRY[key] = chosen


def _register_newer(model: onnx.ModelProto) -> None:
    """Register the newest converter of each op that has none for the opset of the graph."""
    opset = next(each.version for each in model.opset_import if not each.domain)
    for name in {node.op_type for node in model.graph.node if not node.domain}:
        version = onnx.defs.get_schema(name, opset, "").since_version
        key = registry.OperationDescription("", name, version)
        older = [
            each
            for each in registry._CONVERTER_REGISTRY
            if each.domain == "" and each.operation_type == name and each.version < version
        ]
        if key not in registry._CONVERTER_REGISTRY and older:
            newest = max(older, key=lambda each: each.version)
            registry._CONVERTER_REGISTRY[key] = registry._CONVERTER_REGISTRY[newest]


def _result(module: nn.Module, node: OnnxNode, inputs: tuple[str, ...]) -> OperationConverterResult:
    mapping = OnnxMapping(inputs=inputs, outputs=node.output_values)
    return OperationConverterResult(torch_module=module, onnx_mapping=mapping)


def _always(make: Callable[[], nn.Module]) -> Any:
    return lambda node, graph: _result(make(), node, node.input_values)


def _reshape(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult | None:
    name = node.input_values[1]
    if name not in graph.initializers:
        return None
    shape = graph.initializers[name].to_numpy().tolist()
    return _result(Reshape(shape), node, node.input_values[:1])


def _add(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult | None:
    constant = [n for n, name in enumerate(node.input_values) if name in graph.initializers]
    if len(constant) != 1:
        return None
    (index,) = constant
    tensor = graph.initializers[node.input_values[index]].to_torch()
    return _result(AddConstant(tensor, index), node, (node.input_values[1 - index],))


def _matmul(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult | None:
    name = node.input_values[1]
    if name not in graph.initializers:
        return None
    weights = graph.initializers[name].to_torch()  # (in, out)
    if weights.ndim != 2:
        return None
    linear = nn.Linear(*weights.shape, bias=False)
    linear.weight.data = weights.T.contiguous()
    return _result(linear, node, node.input_values[:1])


def _converted(model: onnx.ModelProto, *, keeps_split: bool) -> Converted:
    module = onnx2torch.convert(model)
    graph = OnnxGraph(model.graph)  # names nodes as onnx2torch does
    modules = dict(module.named_modules())
    layers = {node.output_values[0]: modules[name] for name, node in graph.nodes.items()}
    nodes = list(model.graph.node)
    kept = _layers_behind(nodes, {each.name for each in model.graph.output})
    if keeps_split:
        kept |= _layers_behind(nodes, {n.input[0] for n in nodes if n.op_type == "Split"})
    return Converted(
        model=model, module=module, layers=layers, ignored=[layers[n] for n in sorted(kept)]
    )


def _layers_behind(nodes: list[onnx.NodeProto], names: set[str]) -> set[str]:
    """Return the layers that compute tensors, by their first result; some ops may be between."""
    makers = {name: node for node in nodes for name in node.output}
    found, todo, seen = set[str](), list(names), set[str]()
    while todo:
        node = makers.get(todo.pop())
        if node is None or node.output[0] in seen:
            continue
        seen.add(node.output[0])
        if node.op_type in ("Conv", "ConvTranspose", "MatMul", "Gemm"):
            found.add(node.output[0])
        elif node.op_type in _PASSING:
            todo += node.input
    return found
