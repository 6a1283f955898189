"""Keras files: .keras (Keras 3) and .h5 (older)."""

from __future__ import annotations

import dataclasses
import sys
import zipfile
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

from ...common.error_text import first_line
from ...common.json_files import parse_json
from ...errors import InputFileError
from ...spec import SourceSpec
from . import Cut, Signature, TensorInfo, missing_name
from .large_weights import Exported
from .tf_graph import accepting_float, import_tensorflow, onnx_from_function

_LARGEST_CONFIG = 64 << 20  # bytes
_DAMAGED = (
    OSError,
    KeyError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)
_CODE_CLASSES = {"Lambda", "__lambda__", "function"}


def _config_text(path: Path) -> str:
    """Return the architecture, a JSON text, without loading the model.

    The suffix decides how a file is read, as in Keras: a file can be valid HDF5 and ZIP at once.
    """
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                # The size after decompression, which a small archive can make huge.
                if archive.getinfo("config.json").file_size > _LARGEST_CONFIG:
                    raise InputFileError(
                        f"{path}: its config.json is larger than {_LARGEST_CONFIG} bytes"
                    )
                return archive.read("config.json").decode("utf-8")
        if path.suffix not in (".h5", ".hdf5"):
            raise InputFileError(f"{path}: a Keras model file ends in .keras, .h5 or .hdf5")
        import h5py

        with h5py.File(path, "r") as file:
            config = file.attrs["model_config"]
            return config if isinstance(config, str) else bytes(config).decode("utf-8")
    except _DAMAGED as error:
        raise InputFileError(f"{path}: not a Keras model file, or damaged: {error}") from None


def lambda_layers(path: Path) -> list[str]:
    """Return the names of the layers that contain Python code.

    Raises:
        InputFileError: the file is not a Keras model.
    """
    found: list[str] = []
    todo: list[Any] = [parse_json(_config_text(path), f"{path}: its architecture")]
    while todo:  # no recursion: nesting may be deep
        part = todo.pop()
        if isinstance(part, dict):
            if part.get("class_name") in _CODE_CLASSES:
                inner = part.get("config")
                found.append(str(inner.get("name", "?")) if isinstance(inner, dict) else "?")
            todo += part.values()
        elif isinstance(part, list):
            todo += part
    named = sorted(set(found) - {"?"})
    return named or sorted(set(found))


class KerasSource:
    """A functional or sequential Keras model."""

    def __init__(self, path: Path, *, allow_lambda: bool, custom: tuple[str, ...] = ()) -> None:
        self._path = path
        code = lambda_layers(path)
        if code and not allow_lambda:
            raise InputFileError(
                f"{path}: layers {', '.join(code)} run Python code stored in the file; if you "
                "trust it, set source.allow_lambda: true in the spec (init --allow-lambda)"
            )
        import_tensorflow()
        import keras

        try:
            self._model = keras.saving.load_model(
                path,
                compile=False,
                safe_mode=not allow_lambda,
                custom_objects=_custom_objects(path, custom),
            )
        except InputFileError:
            raise
        except Exception as error:  # Keras raises whatever a layer's own code raises
            raise InputFileError(
                f"{path}: Keras cannot load it: {first_line(error)}; if it has "
                "layers of your own, name them in source.custom of the spec (module:Class), or "
                "export it as a SavedModel (model.export) instead"
            ) from error
        if not getattr(self._model, "inputs", None):
            raise InputFileError(
                f"{path}: a {type(self._model).__name__} whose inputs have no names (a subclassed "
                "model); export it as a SavedModel (model.export) instead"
            )
        if not hasattr(self._model, "output_names"):  # a Sequential
            self._model = keras.Model(self._model.inputs, self._model.outputs)

    def signature(self) -> Signature:
        """Return the inputs and outputs."""
        return Signature(
            inputs=tuple(map(_info, self._model.inputs)),
            outputs=tuple(
                TensorInfo(name=name, shape=_info(tensor).shape, dtype=str(tensor.dtype))
                for name, tensor in zip(self._model.output_names, self._model.outputs, strict=True)
            ),
        )

    def cut(self, rank: int) -> Cut | None:
        """Find the last layer that depends on the image alone: training adds labels and a loss."""
        import keras

        images = [tensor for tensor in self._model.inputs if len(tensor.shape) == 4]
        layers = list(self._model.layers)
        for index in reversed(range(len(layers) if len(images) == 1 else 0)):
            found = _single_output(layers[index])
            if found is None or len(found.shape) != rank or found is images[0]:
                continue
            try:
                keras.Model(images[0], found)
            except ValueError:  # it needs more
                continue
            softmax = getattr(layers[index], "activation", None) is keras.activations.softmax
            return Cut(
                input=_info(images[0]),
                output=dataclasses.replace(_info(found), name=layers[index].name),
                layout="NTC",
                is_probability=softmax or isinstance(layers[index], keras.layers.Softmax),
                blank=None,
                in_front=(),
                behind=_kinds(layers[index + 1 :]),
            )
        return None

    def _tensor(self, name: str, kind: str) -> Any:
        """Return an input, an output, or the output of a layer."""
        named = {tensor.name: tensor for tensor in self._model.inputs}
        if kind == "output":
            named = dict(zip(self._model.output_names, self._model.outputs, strict=True))
        if name in named:
            return named[name]
        try:
            layer = self._model.get_layer(name)
        except ValueError:
            raise missing_name(self._path, kind, name, [*named]) from None
        if (found := _single_output(layer)) is None:
            raise InputFileError(
                f"{self._path}: the layer {name} has several outputs, or is called several times; "
                "name a layer that has one output and is called once"
            )
        return found

    def function(self, input_name: str, output_name: str) -> Any:
        """Return the model, in inference mode, as a function of one tensor.

        Both names can be those of layers too; each stands for the layer's output.
        """
        import keras

        entry, result = self._tensor(input_name, "input"), self._tensor(output_name, "output")
        if entry is result:
            raise InputFileError(
                f"{self._path}: the output {output_name} is the same tensor as the input "
                f"{input_name}; name another output"
            )
        try:
            part = keras.Model(entry, result)
        except ValueError:
            raise InputFileError(
                f"{self._path}: {output_name} depends on more than {input_name}, or one of them is "
                "inside a nested model, which cannot be cut"
            ) from None

        def run(image: Any) -> Any:
            return part(image, training=False)

        return accepting_float(run, import_tensorflow().as_dtype(str(entry.dtype)))

    def to_onnx(self, input_name: str, shape: tuple[int, ...], output_name: str) -> Exported:
        """Return raw ONNX at a fixed input shape."""
        function = self.function(input_name, output_name)
        return onnx_from_function(function, input_name, shape, output_name)


def _kinds(layers: list[Any]) -> tuple[str, ...]:
    kinds = dict.fromkeys(type(layer).__name__ for layer in layers)
    return tuple(kind for kind in kinds if kind != "InputLayer")


def _single_output(layer: Any) -> Any:
    """Return the output of a layer, or None if there are several; a layer called twice has two."""
    try:
        found = layer.output
    except (AttributeError, ValueError):  # never called
        return None
    is_one = not isinstance(found, (list, tuple, dict)) and len(layer._inbound_nodes) == 1
    return found if is_one else None


def _custom_objects(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Import classes named "module:Class", from the current folder too."""
    found, here = dict[str, Any](), str(Path.cwd())
    for name in names:
        module, _, attribute = name.partition(":")
        sys.path.insert(0, here)
        try:
            found[attribute] = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise InputFileError(
                f"{path}: source.custom names {name}, which cannot be imported: {error}; its "
                "module must be installed or be in the current folder"
            ) from None
        finally:
            sys.path.remove(here)
    return found


def _info(tensor: Any) -> TensorInfo:
    return TensorInfo(name=tensor.name, shape=tuple(tensor.shape), dtype=str(tensor.dtype))


def open_source(source: SourceSpec) -> KerasSource:
    """Open a .keras or .h5 file."""
    return KerasSource(source.path, allow_lambda=source.allow_lambda, custom=source.custom)
