"""SavedModel folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from ...errors import InputFileError
from ...spec import SourceSpec
from . import Signature, TensorInfo, missing_name
from .tf_graph import import_tensorflow, onnx_from_function


class SavedModelSource:
    """One signature of a SavedModel."""

    def __init__(self, path: Path, signature: str) -> None:
        tf = import_tensorflow()
        self._path = path
        try:
            self._model = tf.saved_model.load(str(path))  # kept: it owns the variables
        except Exception as error:  # TensorFlow raises half a dozen unrelated types here
            raise InputFileError(
                f"{path}: TensorFlow cannot load it as a SavedModel: {str(error).splitlines()[0]}"
            ) from error
        known = dict(self._model.signatures)
        if signature not in known:
            raise missing_name(path, "signature", signature, sorted(known))
        self._signature = known[signature]

    def signature(self) -> Signature:
        """Return the inputs and outputs of the signature."""
        inputs = self._signature.structured_input_signature[1]
        return Signature(
            inputs=tuple(_info(name, spec) for name, spec in sorted(inputs.items())),
            outputs=tuple(
                _info(name, spec)
                for name, spec in sorted(self._signature.structured_outputs.items())
            ),
        )

    def function(self, input_name: str, output_name: str) -> Any:
        """Return the signature as a function of one tensor."""
        signature = self.signature()
        for kind, name, infos in (
            ("input", input_name, signature.inputs),
            ("output", output_name, signature.outputs),
        ):
            if name not in [info.name for info in infos]:
                raise missing_name(self._path, kind, name, [info.name for info in infos])
        if len(signature.inputs) > 1:
            others = [info.name for info in signature.inputs if info.name != input_name]
            raise InputFileError(
                f"{self._path}: inputs besides the picture are not supported: {others}"
            )
        call = self._signature

        def run(image: Any) -> Any:
            return call(**{input_name: image})[output_name]

        return run

    def to_onnx(self, input_name: str, shape: tuple[int, ...], output_name: str) -> onnx.ModelProto:
        """Return raw ONNX at a fixed input shape."""
        function = self.function(input_name, output_name)
        return onnx_from_function(function, input_name, shape, output_name)


def _info(name: str, spec: Any) -> TensorInfo:
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return TensorInfo(name=name, shape=shape, dtype=spec.dtype.name)


def open_source(source: SourceSpec) -> SavedModelSource:
    """Open a SavedModel folder."""
    return SavedModelSource(source.path, source.signature)
