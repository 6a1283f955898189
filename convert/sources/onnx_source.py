"""ONNX files, from any exporter, opset 11 or newer."""

from __future__ import annotations

from pathlib import Path

import onnx

from ...errors import InputFileError, SpecError
from ...spec import SourceSpec
from . import Signature, TensorInfo, missing_name

_OLDEST_OPSET = 11


class OnnxSource:
    """An ONNX model with one input. ``path`` is what error messages name."""

    def __init__(self, path: Path, model: onnx.ModelProto) -> None:
        self._path, self._model = path, model

    def signature(self) -> Signature:
        """Return the inputs (without weights) and outputs."""
        weights = {tensor.name for tensor in self._model.graph.initializer}
        inputs = [value for value in self._model.graph.input if value.name not in weights]
        return Signature(
            inputs=tuple(map(_info, inputs)), outputs=tuple(map(_info, self._model.graph.output))
        )

    def function(self, input_name: str, output_name: str) -> None:
        """There is no TensorFlow model behind an ONNX file."""
        return

    def check_names(self, input_name: str, output_name: str) -> None:
        """Check that the model has this one input, and this output.

        Raises:
            InputFileError: it has others; they are listed.
        """
        signature = self.signature()
        inputs, outputs = (
            [i.name for i in infos] for infos in (signature.inputs, signature.outputs)
        )
        if inputs != [input_name]:
            raise missing_name(self._path, "only input", input_name, inputs)
        if output_name not in outputs:
            raise missing_name(self._path, "output", output_name, outputs)

    def to_onnx(self, input_name: str, shape: tuple[int, ...], output_name: str) -> onnx.ModelProto:
        """Return the model with its input fixed to ``shape`` and only the named output."""
        self.check_names(input_name, output_name)
        declared = self.signature().inputs[0].shape
        if declared is not None and not _fits(declared, shape):
            raise SpecError(
                f"{self._path}: takes {list(declared)}, but the spec's shape or buckets ask for "
                f"{list(shape)}"
            )
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        kept = next(value for value in model.graph.output if value.name == output_name)
        del model.graph.output[:]
        model.graph.output.append(kept)
        kept.type.tensor_type.ClearField("shape")
        del model.graph.value_info[:]  # inferred again, from the fixed shape
        (entry,) = (value for value in model.graph.input if value.name == input_name)
        dims = entry.type.tensor_type.shape.dim
        del dims[:]
        for size in shape:
            dims.add().dim_value = size
        return model


def _fits(declared: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    return len(declared) == len(shape) and all(
        size is None or axis == 0 or size == wanted
        for axis, (size, wanted) in enumerate(zip(declared, shape, strict=True))
    )


def _info(value: onnx.ValueInfoProto) -> TensorInfo:
    if not value.type.HasField("tensor_type"):
        return TensorInfo(name=value.name, shape=None, dtype="not a tensor")
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return TensorInfo(
        name=value.name, shape=shape if tensor.HasField("shape") else None, dtype=dtype
    )


def open_source(source: SourceSpec) -> OnnxSource:
    """Open an .onnx file."""
    path = source.path
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx have no common base class
        raise InputFileError(
            f"{path}: not a valid ONNX model: {str(error).splitlines()[0][:300]}"
        ) from None
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < _OLDEST_OPSET:
        raise InputFileError(f"{path}: opset {opset} is too old, {_OLDEST_OPSET} is the oldest")
    return OnnxSource(path, model)
