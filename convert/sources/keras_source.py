"""Keras files: .keras (Keras 3) and .h5 (older)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ...errors import InputFileError
from ...spec import SourceSpec
from . import Cut, Signature, TensorInfo, missing_name
from .constants import Constants, needs_more, read_constants, tensor_constant
from .joined_outputs import JOIN, joined_tensors
from .keras_file import load_keras_model
from .large_weights import Exported
from .tf_graph import accepting_float, import_tensorflow, onnx_from_function


class KerasSource:
    """A functional or sequential Keras model."""

    def __init__(
        self,
        path: Path,
        *,
        allow_lambda: bool,
        custom: tuple[str, ...] = (),
        constants: Constants | None = None,
    ) -> None:
        self._path, self._constants = path, constants or {}
        import_tensorflow()
        import keras

        self._model, self._left_out = load_keras_model(
            path, allow_lambda=allow_lambda, custom=custom
        )
        if not getattr(self._model, "inputs", None):
            raise InputFileError(
                f"{path}: a {type(self._model).__name__} whose inputs have no names (a subclassed "
                "model); export it as a SavedModel (model.export) instead"
            )
        if not hasattr(self._model, "output_names"):  # a Sequential
            self._model = keras.Model(self._model.inputs, self._model.outputs)
        for layer in self._model._flatten_layers():
            if getattr(layer, "stateful", False):
                # Every image starts with a state of zeros, in engines and in the baseline.
                layer.stateful = False

    def signature(self) -> Signature:
        """Return the inputs and outputs."""
        return Signature(
            inputs=tuple(map(_info, self._model.inputs)),
            outputs=tuple(
                TensorInfo(name=name, shape=_info(tensor).shape, dtype=str(tensor.dtype))
                for name, tensor in zip(self._model.output_names, self._model.outputs, strict=True)
            ),
            left_out=self._left_out,
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
            if self._readers_of_inputs(images[0], found):
                continue
            try:
                keras.Model(images[0], found)
            except ValueError:  # it does not depend on the image
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
                is_training_only=all(map(_is_of_training, layers[index + 1 :])),
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

        entry = self._tensor(input_name, "input")
        results = self._results(output_name)
        if any(entry is result for result in results):
            raise InputFileError(
                f"{self._path}: the output {output_name} is the same tensor as the input "
                f"{input_name}; name another output"
            )
        others = [
            (tensor, self._constants[tensor.name])
            for tensor in self._model.inputs
            if tensor.name in self._constants and tensor is not entry
        ]
        # Keras 3.11 creates a model with missing inputs, which fails later.
        if readers := self._readers_of_inputs(entry, *results):
            raise needs_more(self._path, input_name, output_name, readers)
        try:
            part = keras.Model(
                [entry, *(t for t, _ in others)] if others else entry,
                results if len(results) > 1 else results[0],
            )
        except ValueError as error:
            raise InputFileError(
                f"{self._path}: {output_name} does not depend on {input_name} alone, or one of "
                "them is inside a nested model, which cannot be cut"
            ) from error

        def run(image: Any) -> Any:
            values = [tensor_constant(value, _info(tensor), image) for tensor, value in others]
            outputs = part([image, *values] if values else image, training=False)
            return outputs if len(results) == 1 else joined_tensors(outputs)

        return accepting_float(run, import_tensorflow().as_dtype(str(entry.dtype)))

    def _results(self, output_name: str) -> list[Any]:
        """Return the tensor of an output, or those of several that are joined."""
        if JOIN not in output_name or output_name in self._model.output_names:
            return [self._tensor(output_name, "output")]
        return [self._tensor(name, "output") for name in output_name.split(JOIN)]

    def _readers_of_inputs(self, entry: Any, *results: Any) -> dict[str, list[str]]:
        """Return the inputs without a value that results depend on, with their readers."""
        found: dict[str, list[str]] = {}
        todo, seen = list(results), {id(entry)}
        while todo:
            tensor = todo.pop()
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            operation, node_index, _ = tensor._keras_history
            node = operation._inbound_nodes[node_index]
            for each in node.input_tensors:
                if each is not entry and any(each is one for one in self._model.inputs):
                    readers = found.setdefault(each.name, [])
                    readers.append(f"{operation.name} ({type(operation).__name__})")
                todo.append(each)
        return {name: layers for name, layers in found.items() if name not in self._constants}

    def to_onnx(self, input_name: str, shape: tuple[int, ...], output_name: str) -> Exported:
        """Return raw ONNX at a fixed input shape."""
        function = self.function(input_name, output_name)
        return onnx_from_function(function, input_name, shape, output_name)


def _is_of_training(layer: Any) -> bool:
    """Whether a layer behind the network can be a loss: an input, or code of the user's own."""
    import keras

    is_own = not type(layer).__module__.startswith("keras.") or isinstance(
        layer, keras.layers.Lambda
    )
    return isinstance(layer, keras.layers.InputLayer) or (is_own and not layer.weights)


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


def _info(tensor: Any) -> TensorInfo:
    return TensorInfo(name=tensor.name, shape=tuple(tensor.shape), dtype=str(tensor.dtype))


def open_source(source: SourceSpec) -> KerasSource:
    """Open a .keras or .h5 file."""
    return KerasSource(
        source.path,
        allow_lambda=source.allow_lambda,
        custom=source.custom,
        constants=read_constants(source),
    )
