"""Convert a TensorRT network to ONNX, layer by layer, so that it can run without a GPU.

Only layers that occur in the tests are supported; others raise an error. Every attribute that
affects the numbers is read from the layer; none is assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_TYPES = {
    "FLOAT": TensorProto.FLOAT,
    "HALF": TensorProto.FLOAT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
}


def layers_of(trt: Any, network: Any) -> list[tuple[str, Any]]:
    """Return (kind, layer) of each layer, with its own class in place of the bindings' ILayer."""
    layers = []
    for layer in (network.get_layer(i) for i in range(network.num_layers)):
        kind = layer.type.name  # read first: the class of an activation redefines ``type``
        words = kind.title().replace("_", "")
        words = {"Elementwise": "ElementWise", "Softmax": "SoftMax"}.get(words, words)
        layer.__class__ = getattr(trt, f"I{words}Layer")
        layers.append((kind, layer))
    return layers


def onnx_from_network(trt: Any, network: Any) -> onnx.ModelProto:
    return _Walk(trt).model(network)


class _Walk:
    def __init__(self, trt: Any) -> None:
        self.trt, self.nodes, self.initializers = trt, [], []
        self.names: dict[str, str] = {}

    def model(self, network: Any) -> onnx.ModelProto:
        inputs = [network.get_input(i) for i in range(network.num_inputs)]
        outputs = [network.get_output(i) for i in range(network.num_outputs)]
        self.names = {tensor.name: tensor.name for tensor in inputs}
        for kind, layer in self._sorted(layers_of(self.trt, network)):
            convert: Callable[[Any], str] = getattr(self, f"_{kind.lower()}")
            self.names[layer.get_output(0).name] = convert(layer)
            assert layer.num_outputs == 1
        for tensor in outputs:
            name = self.names[tensor.name]
            self.nodes.append(helper.make_node("Identity", [name], [tensor.name]))
        graph = helper.make_graph(
            self.nodes,
            "walked",
            [self._declared(tensor) for tensor in inputs],
            [self._declared(tensor) for tensor in outputs],
            self.initializers,
        )
        opsets = [helper.make_opsetid("", 20)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _sorted(self, layers: list[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
        """Yield each layer after the layers that it reads from; the parser's order differs."""
        while layers:
            index = next(i for i, (_, layer) in enumerate(layers) if self._is_ready(layer))
            yield layers.pop(index)

    def _is_ready(self, layer: Any) -> bool:
        inputs = (layer.get_input(i) for i in range(layer.num_inputs))
        return all(tensor is None or tensor.name in self.names for tensor in inputs)

    @staticmethod
    def _declared(tensor: Any) -> onnx.ValueInfoProto:
        shape = ["N" if size == -1 else size for size in tensor.shape]
        return helper.make_tensor_value_info(tensor.name, _TYPES[tensor.dtype.name], shape)

    def _node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def _array(self, values: Any, dtype: Any = None) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def _input(self, layer: Any, index: int = 0) -> str:
        return self.names[layer.get_input(index).name]

    def _constant(self, layer: Any) -> str:
        weights = np.asarray(layer.weights).reshape(tuple(layer.shape))
        assert _TYPES[layer.get_output(0).dtype.name] == helper.np_dtype_to_tensor_dtype(
            weights.dtype
        )
        return self._array(weights)

    def _convolution(self, layer: Any) -> str:
        size, groups = tuple(layer.kernel_size_nd), layer.num_groups
        shape = (layer.num_output_maps, layer.get_input(0).shape[1] // groups, *size)
        kernel = np.asarray(layer.kernel).reshape(shape)
        pads: dict[str, Any] = {"pads": [*layer.pre_padding, *layer.post_padding]}
        if layer.padding_mode == self.trt.PaddingMode.SAME_UPPER:
            pads = {"auto_pad": "SAME_UPPER"}
        else:
            assert layer.padding_mode == self.trt.PaddingMode.EXPLICIT_ROUND_DOWN
        inputs = [self._input(layer), self._array(kernel)]
        if (bias := np.asarray(layer.bias)).size:
            inputs.append(self._array(bias))
        return self._node(
            "Conv",
            *inputs,
            strides=list(layer.stride_nd),
            dilations=list(layer.dilation_nd),
            group=groups,
            **pads,
        )

    def _activation(self, layer: Any) -> str:
        kinds = self.trt.ActivationType
        op = {kinds.RELU: "Relu", kinds.GELU_ERF: "Gelu"}[layer.type]
        return self._node(op, self._input(layer))

    def _elementwise(self, layer: Any) -> str:
        kinds = self.trt.ElementWiseOperation
        ops = {kinds.SUM: "Add", kinds.PROD: "Mul", kinds.SUB: "Sub", kinds.DIV: "Div"}
        return self._node(ops[layer.op], self._input(layer, 0), self._input(layer, 1))

    def _matrix_multiply(self, layer: Any) -> str:
        sides = []
        for index, op in enumerate((layer.op0, layer.op1)):
            side = self._input(layer, index)
            if op == self.trt.MatrixOperation.TRANSPOSE:
                axes = list(range(len(layer.get_input(index).shape)))
                axes[-2:] = axes[-1], axes[-2]
                side = self._node("Transpose", side, perm=axes)
            else:
                assert op == self.trt.MatrixOperation.NONE
            sides.append(side)
        return self._node("MatMul", *sides)

    def _normalization(self, layer: Any) -> str:
        rank = len(layer.get_input(0).shape)
        assert layer.axes == 1 << (rank - 1), "the last axis alone"
        assert layer.num_groups == 1
        flat = self._array([-1], np.int64)
        scale, bias = (self._node("Reshape", self._input(layer, i), flat) for i in (1, 2))
        return self._node(
            "LayerNormalization", self._input(layer), scale, bias, axis=-1, epsilon=layer.epsilon
        )

    def _shuffle(self, layer: Any) -> str:
        x = self._transposed(self._input(layer), layer.first_transpose, layer.get_input(0))
        if layer.num_inputs > 1:
            x = self._node("Reshape", x, self._input(layer, 1), allowzero=self._zero(layer))
        elif layer.reshape_dims is not None:
            shape = self._array(list(layer.reshape_dims), np.int64)
            x = self._node("Reshape", x, shape, allowzero=self._zero(layer))
        return self._transposed(x, layer.second_transpose, layer.get_output(0))

    @staticmethod
    def _zero(layer: Any) -> int:
        return 0 if layer.zero_is_placeholder else 1

    def _transposed(self, x: str, order: Sequence[int], of_rank: Any) -> str:
        axes = list(order)[: len(of_rank.shape)]  # TensorRT has room for eight
        return x if axes == sorted(axes) else self._node("Transpose", x, perm=axes)

    def _slice(self, layer: Any) -> str:
        start = self._array(list(layer.start), np.int64)
        stride = self._array(list(layer.stride), np.int64)
        sizes = self._input(layer, 2) if layer.num_inputs > 2 else None
        sizes = sizes or self._array(list(layer.shape), np.int64)
        end = self._node("Add", start, sizes)
        axes = self._array(range(len(layer.start)), np.int64)
        assert set(layer.stride) == {1}
        return self._node("Slice", self._input(layer), start, end, axes, stride)

    def _softmax(self, layer: Any) -> str:
        axis = int(layer.axes).bit_length() - 1
        assert layer.axes == 1 << axis, "one axis"
        return self._node("Softmax", self._input(layer), axis=axis)

    def _shape(self, layer: Any) -> str:
        return self._node("Shape", self._input(layer))

    def _cast(self, layer: Any) -> str:
        return self._node("Cast", self._input(layer), to=_TYPES[layer.get_output(0).dtype.name])

    def _concatenation(self, layer: Any) -> str:
        inputs = [self._input(layer, i) for i in range(layer.num_inputs)]
        return self._node("Concat", *inputs, axis=layer.axis)

    def _gather(self, layer: Any) -> str:
        assert layer.mode == self.trt.GatherMode.DEFAULT
        assert layer.num_elementwise_dims == 0
        return self._node("Gather", self._input(layer), self._input(layer, 1), axis=layer.axis)


def weights_of(model: onnx.ModelProto) -> dict[str, list[np.ndarray]]:
    """Return the weights of a walked network in a common form, by the kind of layer.

    The bias of a matrix product is the last row of its kernel. Kernels that read the same input
    (query, key and value) are joined along their columns. Axes of size one are removed.
    """
    values = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Reshape" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]]
    held = {name: array.squeeze() for name, array in values.items()}
    makers = {node.output[0]: node for node in model.graph.node}
    result: dict[str, list[np.ndarray]] = {"Conv": [], "LayerNormalization": [], "Add": []}
    kernels: dict[str, list[np.ndarray]] = {}
    for node in model.graph.node:
        weights = [held[name] for name in node.input[1:] if name in held]
        if node.op_type in ("Conv", "LayerNormalization"):
            result[node.op_type] += weights
        elif node.op_type == "MatMul" and weights:
            kernels.setdefault(node.input[0], []).append(weights[0])
        elif node.op_type == "Add" and weights and held[node.input[1]].dtype.kind == "f":
            maker = makers[node.input[0]]
            if maker.op_type == "MatMul":
                kernel = kernels[maker.input[0]].pop()
                kernels[maker.input[0]].append(np.vstack([kernel, weights[0]]))
            else:
                result["Add"] += weights
    result["MatMul"] = [np.hstack(parts) for parts in kernels.values()]
    return result
