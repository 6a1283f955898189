"""ONNX files from any exporter, opset 11 or newer."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.version_converter
import onnx_ir as ir

from ...common.error_text import check_memory, first_line
from ...common.onnx_files import check_tensors
from ...common.onnx_limits import load_limited
from ...common.onnx_segments import infer_shapes_linearly
from ...errors import InputFileError, SpecError
from ...spec import SourceSpec
from . import Signature, TensorInfo, missing_name
from .constants import Constants, full_constant, needs_more, read_constants
from .joined_outputs import JOIN, channel_axis
from .large_weights import Exported, extract_initializers
from .pixels import with_float_input

_OLDEST_OPSET = 11
_PLAIN_OPSET = 18
"""The converter in ``pipeline`` starts at this opset; ONNX's own converts older files to it."""


class OnnxSource:
    """An ONNX model with one image input. Error messages name ``path``."""

    def __init__(self, path: Path, exported: Exported, constants: Constants | None = None) -> None:
        self._path, self._model, self._weights = path, exported.model, exported.weights
        self._constants = constants or {}

    def signature(self) -> Signature:
        """Return the inputs (without weights) and outputs."""
        weights = {tensor.name for tensor in self._model.graph.initializer} | {*self._weights}
        inputs = [value for value in self._model.graph.input if value.name not in weights]
        return Signature(
            inputs=tuple(map(_info, inputs)), outputs=tuple(map(_info, self._model.graph.output))
        )

    def function(self, input_name: str, output_name: str) -> None:
        """Check the names; return None, because TensorFlow cannot run an ONNX file."""
        if (joined := self._joined(output_name)) is not None:
            joined.function(input_name, output_name)
        else:
            self._nodes_between(input_name, output_name)

    def cut(self, rank: int) -> None:
        """Return None: the user names the tensors at which an ONNX file is cut."""

    def to_onnx(self, input_name: str, shape: tuple[int, ...], output_name: str) -> Exported:
        """Return the part between two values, with the input fixed to ``shape``."""
        if (joined := self._joined(output_name)) is not None:
            return joined.to_onnx(input_name, shape, output_name)
        signature = self.signature()
        entry = next((i for i in signature.inputs if i.name == input_name), None)
        if entry is not None and entry.shape is not None and not _fits(entry.shape, shape):
            raise SpecError(
                f"{self._path}: {input_name} accepts the shape {list(entry.shape)}, but the spec's "
                f"shape or buckets require {list(shape)}"
            )
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        values = {value.name: value for value in _all_values(model)}
        carried = [value for value in self._model.graph.input if value.name in self._weights]
        del model.graph.node[:], model.graph.input[:], model.graph.output[:]
        model.graph.node.extend(self._nodes_between(input_name, output_name))
        dtype = values[input_name].type.tensor_type.elem_type if input_name in values else 0
        info = onnx.helper.make_tensor_value_info
        model.graph.input.append(info(input_name, dtype or onnx.TensorProto.FLOAT, shape))
        model.graph.input.extend(carried)
        model.graph.initializer.extend(self._filled_in(input_name, shape[0]))
        dtype = values[output_name].type.tensor_type.elem_type if output_name in values else 0
        if dtype == onnx.TensorProto.STRING:
            raise InputFileError(
                f"{self._path}: {output_name} is text; name a tensor of numbers as output.name in "
                "the spec, such as the scores that the text is made of"
            )
        # Shapes are inferred again from the fixed input: some exporters declare wrong ones.
        model.graph.output.append(info(output_name, dtype or onnx.TensorProto.FLOAT, None))
        del model.graph.value_info[:]
        _declare_rank(model, values.get(output_name))
        return Exported(model=with_float_input(model), weights=self._weights)

    def _joined(self, output_name: str) -> OnnxSource | None:
        """Return a model in which several outputs are joined; None if the name is that of one."""
        values = {name for node in self._model.graph.node for name in node.output}
        if JOIN not in output_name or output_name in values:
            return None
        names, outputs = output_name.split(JOIN), [o.name for o in self.signature().outputs]
        for name in names:
            if name not in values:
                raise missing_name(self._path, "output", name, outputs)
        shapes = {info.name: info.shape for info in self.signature().outputs}
        axis = channel_axis([shapes.get(name) for name in names], default=1)
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        model.graph.node.append(onnx.helper.make_node("Concat", names, [output_name], axis=axis))
        exported = Exported(model=model, weights=self._weights)
        return OnnxSource(self._path, exported, self._constants)

    def _filled_in(self, input_name: str, batch: int) -> list[onnx.TensorProto]:
        """Return the constants for all inputs but the image as initializers."""
        return [
            onnx.numpy_helper.from_array(
                full_constant(self._constants[info.name], info, batch), info.name
            )
            for info in self.signature().inputs
            if info.name in self._constants and info.name != input_name
        ]

    def _nodes_between(self, input_name: str, output_name: str) -> list[onnx.NodeProto]:
        """Return the nodes that compute one value from another and weights, in graph order."""
        graph = self._model.graph
        weights = {tensor.name for tensor in (*graph.initializer, *graph.sparse_initializer)}
        weights |= {*self._weights}
        makers = {name: node for node in graph.node for name in node.output if name}
        inputs, outputs = (
            [info.name for info in infos]
            for infos in (self.signature().inputs, self.signature().outputs)
        )
        for kind, name, known in (("input", input_name, inputs), ("output", output_name, outputs)):
            if name in weights:
                raise InputFileError(f"{self._path}: the {kind} {name} is a constant of the model")
            if name not in makers and name not in inputs:
                raise missing_name(self._path, kind, name, known)
        found, missing, todo = set[int](), set[str](), [output_name]
        seen = {input_name, *weights}
        for name in todo:  # the list grows while it is read: from the output towards the input
            if name in seen:
                continue
            seen.add(name)
            if name in inputs and name not in self._constants:
                missing.add(name)
            elif name in makers:
                found.add(id(makers[name]))
                todo += _read_names(makers[name])
        if missing:
            readers = {
                name: [
                    f"{node.op_type} {node.name or node.output[0]}"
                    for node in graph.node
                    if id(node) in found and name in _read_names(node)
                ]
                for name in sorted(missing)
            }
            raise needs_more(self._path, input_name, output_name, readers)
        nodes = [node for node in graph.node if id(node) in found]
        if not any(input_name in _read_names(node) for node in nodes):
            raise InputFileError(f"{self._path}: {output_name} does not depend on {input_name}")
        return nodes


def _all_values(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return all values whose type or shape is declared or can be inferred."""
    try:
        inferred = infer_shapes_linearly(model).graph
    except onnx.shape_inference.InferenceError:  # a wrong declaration; to_onnx drops them all
        inferred = model.graph
    return [*inferred.value_info, *inferred.input, *inferred.output]


def _declare_rank(model: onnx.ModelProto, declared: onnx.ValueInfoProto | None) -> None:
    """Declare the rank of the output as in the file, if it cannot be inferred."""
    known = {value.name: value.type.tensor_type for value in _all_values(model)}
    output = model.graph.output[0]
    if known[output.name].HasField("shape") or declared is None:
        return
    shape = output.type.tensor_type.shape
    shape.SetInParent()
    for _ in declared.type.tensor_type.shape.dim:
        shape.dim.add()


def _read_names(node: onnx.NodeProto) -> list[str]:
    """Return the names of the values that a node reads, including its inner graphs."""
    names = [name for name in node.input if name]
    for item in node.attribute:
        if item.type == onnx.AttributeProto.GRAPH:
            names += [name for inner in item.g.node for name in _read_names(inner)]
    return names


def _fits(declared: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    return len(declared) == len(shape) and all(
        size is None or axis == 0 or size == expected
        for axis, (size, expected) in enumerate(zip(declared, shape, strict=True))
    )


def _info(value: onnx.ValueInfoProto) -> TensorInfo:
    if not value.type.HasField("tensor_type"):
        return TensorInfo(name=value.name, shape=None, dtype="not a tensor")
    tensor = value.type.tensor_type
    # Old exporters of Paddle write -1 for a size that is free.
    shape = tuple(
        d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None
        for d in tensor.shape.dim
    )
    names = onnx.helper.get_all_tensor_dtypes()  # without UNDEFINED, 0
    known = tensor.elem_type in names
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name if known else "undefined"
    return TensorInfo(
        name=value.name, shape=shape if tensor.HasField("shape") else None, dtype=dtype
    )


def open_source(source: SourceSpec) -> OnnxSource:
    """Open an .onnx file."""
    path = source.path
    try:
        model = load_limited(path)
        weights = extract_initializers(model)
        onnx.checker.check_model(model)
        check_tensors(ir.from_proto(model))  # refuses more than the checker does
    except InputFileError:
        raise
    except Exception as error:  # protobuf and onnx have no common base class
        check_memory(error, path)
        raise InputFileError(f"{path}: not a valid ONNX model: {first_line(error)}") from error
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < _OLDEST_OPSET:
        raise InputFileError(
            f"{path}: opset {opset} is too old: {_OLDEST_OPSET} is the oldest that is supported; "
            "export it again with a newer opset"
        )
    if opset < _PLAIN_OPSET:
        model = _upgraded(path, model)
    exported = Exported(model=model, weights=weights)
    return OnnxSource(path, exported, read_constants(source))


def _upgraded(path: Path, model: onnx.ModelProto) -> onnx.ModelProto:
    foreign = {node.domain for node in model.graph.node} - {"", "ai.onnx"}
    if foreign:
        return model  # ONNX's converter cannot read other domains; the pipeline refuses them later
    try:
        return onnx.version_converter.convert_version(model, _PLAIN_OPSET)
    except Exception as error:  # the C++ side raises RuntimeError and its own types
        check_memory(error, path)
        raise InputFileError(
            f"{path}: ONNX's converter cannot convert it to opset {_PLAIN_OPSET}: "
            f"{first_line(error)}; export it again with a newer opset"
        ) from None
