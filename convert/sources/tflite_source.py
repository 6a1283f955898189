"""TensorFlow Lite files with float weights."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from ...common.error_text import first_line
from ...common.limits import LARGEST_NODES, SIMPLIFY, bytes_text, check_limit
from ...common.memory import available_memory
from ...errors import InputFileError, TargetMissingError
from ...spec import SourceSpec
from . import Signature, TensorInfo, missing_name
from .constants import Constants, full_constant, read_constants
from .joined_outputs import JOIN, channel_axis
from .large_weights import Exported
from .onnx_source import OnnxSource
from .tf_graph import import_tensorflow, onnx_from_tflite
from .unsafe_ops import check_lite_ops


class TfliteSource:
    """A .tflite file. Its sizes are fixed, except for dimensions that it marks as free."""

    def __init__(self, path: Path, constants: Constants | None = None) -> None:
        self._tf, self._path = import_tensorflow(), path
        self._constants = constants or {}
        self._alone = Lock()  # an interpreter is not thread-safe
        self._interpreter, self._has_delegates = self._opened(), True
        # The interpreter has no public function that lists the ops.
        ops = [op["op_name"] for op in self._interpreter._get_ops_details()]
        tensors = self._interpreter.get_tensor_details()
        check_limit(path, "ops", len(ops), LARGEST_NODES, SIMPLIFY)
        check_lite_ops(path, ops)
        _check_memory(path, tensors)
        quantized = [tensor["name"] for tensor in tensors if tensor["dtype"] in (np.int8, np.uint8)]
        if quantized:
            raise InputFileError(
                f"{path}: a quantized model ({len(quantized)} int8 tensors, such as "
                f"{quantized[0]}); use the float model: ocr-trt quantizes it for its target"
            )

    def _opened(self, **settings: Any) -> Any:
        """Return a new interpreter of the file."""
        make = _interpreter_class(self._tf)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it announces its move to a package of its own
                return make(model_content=self._path.read_bytes(), **settings)
        except (ValueError, RuntimeError) as error:
            raise InputFileError(
                f"{self._path}: not a TensorFlow Lite model: {first_line(error)}"
            ) from error

    def _open_without_delegates(self) -> None:
        """Open the file again, so that the interpreter's own kernels run all ops."""
        kinds = import_module(type(self._interpreter).__module__).OpResolverType
        plain = kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._interpreter = self._opened(experimental_op_resolver_type=plain)
        self._has_delegates = False

    def signature(self) -> Signature:
        """Return the inputs and outputs."""
        return Signature(
            inputs=tuple(map(_info, self._interpreter.get_input_details())),
            outputs=tuple(map(_info, self._interpreter.get_output_details())),
        )

    def cut(self, rank: int) -> None:
        """Return None: a .tflite file can only be run as a whole."""

    def _check_names(self, input_name: str, output_name: str) -> None:
        signature = self.signature()
        inputs, outputs = (
            [i.name for i in infos] for infos in (signature.inputs, signature.outputs)
        )
        if input_name not in inputs:
            raise missing_name(self._path, "input", input_name, inputs)
        for name in _names(output_name, outputs):
            if name not in outputs:
                raise missing_name(self._path, "output", name, outputs)
        if len(inputs) > 1:
            self._onnx.function(input_name, output_name)  # raises if it needs further inputs

    @cached_property
    def _onnx(self) -> OnnxSource:
        exported = Exported(model=onnx_from_tflite(self._path))
        return OnnxSource(self._path, exported, self._constants)

    def function(self, input_name: str, output_name: str) -> Any:
        """Return a function that runs the interpreter, resized to the shape of each image."""
        self._check_names(input_name, output_name)
        entries = self._interpreter.get_input_details()
        entry = next(each for each in entries if each["name"] == input_name)
        others = [each for each in entries if each is not entry]
        details = {each["name"]: each for each in self._interpreter.get_output_details()}
        ends = [details[name] for name in _names(output_name, [*details])]
        axis = channel_axis([end["shape_signature"] for end in ends])

        def call(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            # An input without a value is one that the output does not depend on.
            values = {
                each["index"]: full_constant(
                    self._constants.get(each["name"], np.zeros(())), _info(each), len(image)
                )
                for each in others
            }
            feeds = {entry["index"]: image, **values}
            with self._alone:
                results = self._run(feeds, ends)
                fits = all(
                    _fits(end["shape_signature"], result.shape)
                    for end, result in zip(ends, results, strict=True)
                )
                if self._has_delegates and not fits:
                    # The XNNPACK delegate can return a deconvolution with one column too many.
                    self._open_without_delegates()
                    results = self._run(feeds, ends)
                return results[0] if len(results) == 1 else np.concatenate(results, axis)

        return lambda image: self._tf.numpy_function(call, [image], self._tf.float32)

    def _run(
        self, feeds: dict[int, npt.NDArray], ends: Sequence[dict[str, Any]]
    ) -> list[npt.NDArray[np.float32]]:
        """Run the interpreter once; inputs are given by their indices, outputs by their details."""
        for index, value in feeds.items():
            # Resizing invalidates all buffers, so it is done only when the shape changes.
            if self._shape_of(index) != value.shape:
                self._interpreter.resize_tensor_input(index, value.shape)
        self._interpreter.allocate_tensors()
        for index, value in feeds.items():
            self._interpreter.set_tensor(index, value)
        self._interpreter.invoke()
        return [np.array(self._interpreter.get_tensor(end["index"])) for end in ends]

    def _shape_of(self, index: int) -> tuple[int, ...]:
        details = self._interpreter.get_input_details()
        return next(tuple(each["shape"]) for each in details if each["index"] == index)

    def to_onnx(self, input_name: str, shape: tuple[int, ...], output_name: str) -> Exported:
        """Return raw ONNX at a fixed input shape."""
        self._check_names(input_name, output_name)
        return self._onnx.to_onnx(input_name, shape, output_name)


def _names(output_name: str, known: Sequence[str]) -> list[str]:
    """Return the name of an output, or those of several that are joined."""
    return [output_name] if output_name in known else output_name.split(JOIN)


def _check_memory(path: Path, tensors: list[dict[str, Any]]) -> None:
    """Check the largest tensor, because tf2onnx allocates all tensors at the sizes in the file.

    Raises:
        InputFileError: it does not fit the memory.
    """
    free = available_memory()
    for tensor in tensors:
        # Types without a fixed size, such as text, have an item size of a pointer.
        needed = prod(map(int, tensor["shape"])) * np.dtype(tensor["dtype"]).itemsize
        if needed > free:
            raise InputFileError(
                f"{path}: its tensor {tensor['name']!r:.80} of shape {tensor['shape'].tolist()} "
                f"needs {bytes_text(needed)} of memory, but {bytes_text(free)} are available; "
                f"{SIMPLIFY}"
            )


def _interpreter_class(tf: Any) -> Any:
    """Return the interpreter class, from TensorFlow or from the package ai-edge-litert.

    Raises:
        TargetMissingError: neither of them has it.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        if not hasattr(getattr(tf, "lite", None), "Interpreter"):
            raise TargetMissingError(
                f"TensorFlow {tf.__version__} cannot run .tflite files; install LiteRT with: pip "
                "install ai-edge-litert"
            ) from None
        return tf.lite.Interpreter
    return Interpreter


def _fits(declared: npt.NDArray, shape: tuple[int, ...]) -> bool:
    """Whether a result has the sizes that the file declares; the first axis is the batch."""
    pairs = list(zip(declared, shape, strict=False))[1:]
    return len(declared) != len(shape) or all(size in (-1, found) for size, found in pairs)


def _info(details: dict[str, Any]) -> TensorInfo:
    shape = tuple(None if size < 0 else int(size) for size in details["shape_signature"])
    return TensorInfo(name=details["name"], shape=shape, dtype=np.dtype(details["dtype"]).name)


def open_source(source: SourceSpec) -> TfliteSource:
    """Open a .tflite file."""
    return TfliteSource(source.path, read_constants(source))
