"""Frozen graphs of TensorFlow 1: one GraphDef in a .pb file."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from ...common.error_text import check_memory, first_line
from ...errors import InputFileError, OcrTrtError
from ...spec import SourceSpec
from ..recurrent.cudnn import without_cudnn
from . import Cut, Signature, TensorInfo, missing_name
from .constants import Constants, needs_more, read_constants, tensor_constant
from .ends import find_cut, port_of, readers_of_inputs, tensor_of_layer
from .graph_limits import check_graph_limits
from .joined_outputs import JOIN, channel_axis
from .large_weights import Exported
from .side_effects import check_deterministic
from .tf_graph import accepting_float, import_tensorflow, onnx_from_graph_def
from .training_mode import check_inference_mode
from .unsafe_ops import check_graph

_INPUTS = ("Placeholder", "PlaceholderWithDefault")
_VARIABLES = ("VariableV2", "VarHandleOp", "Variable")


_JOINED = "ocr_trt_joined"
"""Name of the node that joins several outputs."""


class GraphDefSource:
    """A graph whose weights are constants.

    Its inputs are the placeholders, and its outputs the nodes that no other node reads. Any other
    tensor can be named as input or output too, with or without ":0", and so can a Keras layer.
    """

    def __init__(self, path: Path, definition: Any, constants: Constants | None = None) -> None:
        definition = without_cudnn(_without_switches(definition))
        self._path, self._definition, self._constants = path, definition, constants or {}
        variables = [node.name for node in definition.node if node.op in _VARIABLES]
        if variables:
            raise InputFileError(
                f"{path}: not frozen: it contains no values for {len(variables)} variables, such "
                f"as {variables[0]}; freeze the graph, or use the SavedModel instead"
            )
        self._function = _as_function(definition)
        self._inputs = [node.name for node in definition.node if node.op in _INPUTS]
        self._outputs = ends_of(definition)

    def signature(self) -> Signature:
        """Return the placeholders and the ends of the graph."""
        return Signature(
            inputs=tuple(map(self._info, self._inputs)),
            outputs=tuple(map(self._info, self._outputs)),
        )

    def _tensor(self, name: str, kind: str, known: list[str]) -> Any:
        try:
            return self._function.graph.get_tensor_by_name(port_of(name))
        except (KeyError, ValueError):
            if (found := tensor_of_layer(self._function.graph, name)) is not None:
                return found
            raise missing_name(self._path, kind, name, known) from None

    def _info(self, name: str) -> TensorInfo:
        return TensorInfo.of_tensorflow(name, self._tensor(name, "tensor", []))

    def cut(self, rank: int) -> Cut | None:
        """Find the network between the ops that decode images and those that decode text."""
        return find_cut(self._function.graph, self._inputs, self._outputs, rank)

    def function(self, input_name: str, output_name: str) -> Any:
        """Return the graph between two of its tensors as a function."""
        if (joined := self._joined(output_name)) is not None:
            return joined.function(input_name, _JOINED)
        entry = self._tensor(input_name, "input", self._inputs)
        result = self._tensor(output_name, "output", self._outputs)
        function = self._function
        if self._others(entry):
            definition, name = self._with_constants(entry)
            function = _as_function(definition)
            entry, result = (
                function.graph.get_tensor_by_name(each) for each in (f"{name}:0", result.name)
            )
        try:
            part = function.prune(entry, result)
        except Exception as error:  # UnliftableError, which is not in TensorFlow's public API
            readers = readers_of_inputs(entry, result)
            if not readers:
                raise InputFileError(
                    f"{self._path}: {output_name} cannot be computed from {input_name} alone: "
                    f"{first_line(error)}"
                ) from error
            raise needs_more(self._path, input_name, output_name, readers) from error
        check_graph(self._path, part.graph.as_graph_def())
        return accepting_float(part, entry.dtype)

    def _joined(self, output_name: str) -> GraphDefSource | None:
        """Return a graph in which several outputs are joined; None if the name is that of one."""
        if JOIN not in output_name:
            return None
        maps = [self._tensor(name, "output", self._outputs) for name in output_name.split(JOIN)]
        if any(each.shape.rank != 4 or each.dtype != maps[0].dtype for each in maps):
            listed = ", ".join(f"{each.name} {each.dtype.name} {each.shape}" for each in maps)
            raise InputFileError(
                f"{self._path}: outputs to join must have one type and 4 axes; they are {listed}"
            )
        v1, axis = import_tensorflow().compat.v1, channel_axis([m.shape.as_list() for m in maps])
        with v1.Graph().as_default() as graph:
            v1.import_graph_def(self._definition, name="")
            v1.concat([graph.get_tensor_by_name(m.name) for m in maps], axis, name=_JOINED)
        return GraphDefSource(self._path, graph.as_graph_def(), self._constants)

    def _rank_of(self, name: str) -> int | None:
        """Return the number of axes of a tensor; None if it is not known."""
        return self._function.graph.get_tensor_by_name(port_of(name)).shape.rank

    def _others(self, entry: Any) -> dict[str, Any]:
        """Return the constants for all inputs but the image."""
        return {name: v for name, v in self._constants.items() if port_of(name) != entry.name}

    def _with_constants(self, entry: Any) -> tuple[Any, str]:
        """Return the graph with constants for its other inputs, and the name of its new input."""
        v1, name = import_tensorflow().compat.v1, _free_name(self._definition, entry.name)
        with v1.Graph().as_default() as graph:
            image = v1.placeholder(entry.dtype, entry.shape, name)
            feeds = {
                port_of(other): tensor_constant(value, self._info(other), image)
                for other, value in self._others(entry).items()
            }
            v1.import_graph_def(self._definition, input_map={entry.name: image, **feeds}, name="")
        return graph.as_graph_def(), name

    def to_onnx(self, input_name: str, shape: tuple[int, ...], output_name: str) -> Exported:
        """Return raw ONNX at a fixed input shape."""
        if (joined := self._joined(output_name)) is not None:
            return joined.to_onnx(input_name, shape, _JOINED)
        run = self.function(input_name, output_name)  # checks the names
        v1 = import_tensorflow().compat.v1
        image = self._tensor(input_name, "input", self._inputs)
        result = self._tensor(output_name, "output", self._outputs)
        if self._others(image):
            graph, entry = self._with_constants(image)
            node = next(node for node in graph.node if node.name == entry)
        else:
            graph, entry = _entered_at(self._definition, image.name)
            node = graph.node.add(name=entry, op="Placeholder")
        node.attr["dtype"].type = image.dtype.as_datatype_enum
        node.attr["shape"].shape.CopyFrom(v1.TensorShape(shape).as_proto())
        graph = v1.graph_util.extract_sub_graph(graph, [result.op.name])
        if not any(node.name == entry for node in graph.node):
            raise InputFileError(f"{self._path}: {output_name} does not depend on {input_name}")
        is_batch_free = not image.shape.rank or image.shape[0] is None
        # A norm over the batch of a model for single images is a norm over the image.
        check_inference_mode(graph, [result.name], self._rank_of if is_batch_free else None)
        check_deterministic(graph, [result.name], run, shape)
        return onnx_from_graph_def(graph, f"{entry}:0", result.name, input_name, output_name)


def _as_function(definition: Any) -> Any:
    v1 = import_tensorflow().compat.v1
    return v1.wrap_function(lambda: v1.import_graph_def(definition, name=""), signature=[])


def _free_name(definition: Any, tensor: str) -> str:
    """Return a name for the node that replaces a tensor."""
    entry = f"{tensor.split(':')[0]}_image"
    while any(node.name == entry for node in definition.node):
        entry += "_"
    return entry


def _entered_at(definition: Any, tensor: str) -> tuple[Any, str]:
    """Copy a graph, and replace a tensor in all of its readers by a new node.

    Returns:
        The copy, and the name of the new node, which the caller has to add.
    """
    graph = type(definition)()
    graph.CopyFrom(definition)
    name, port = tensor.split(":")
    entry = _free_name(definition, tensor)
    spellings = (tensor, name) if port == "0" else (tensor,)  # "name" means "name:0" in a GraphDef
    for node in graph.node:
        kept = [entry if value in spellings else value for value in node.input]
        if kept != list(node.input):
            node.input[:] = kept
    return graph, entry


def _without_switches(definition: Any) -> Any:
    """Replace scalar placeholders with a default (is_training, keep_prob, ...) by that default."""
    for node in definition.node:
        if node.op != "PlaceholderWithDefault":
            continue
        shape = node.attr["shape"].shape
        if not shape.unknown_rank and not shape.dim:
            dtype = node.attr["dtype"].type
            node.op = "Identity"
            node.attr.clear()
            node.attr["T"].type = dtype
    return definition


def ends_of(definition: Any) -> list[str]:
    """Return the nodes of a GraphDef that depend on a placeholder and that no other node reads."""
    from tensorflow.python.framework import op_def_registry

    readers: dict[str, list[str]] = defaultdict(list)
    for node in definition.node:
        for name in node.input:
            readers[name.lstrip("^").split(":")[0]].append(node.name)  # "^": control input
    reached: dict[str, None] = {n.name: None for n in definition.node if n.op in _INPUTS}
    todo = list(reached)
    for name in todo:
        new = [reader for reader in readers[name] if reader not in reached]
        reached.update(dict.fromkeys(new))
        todo += new
    return [
        node.name
        for node in definition.node
        if node.name in reached
        and not readers[node.name]
        and node.op not in _INPUTS
        and op_def_registry.get(node.op).output_arg
    ]


def open_source(source: SourceSpec) -> GraphDefSource:
    """Open a .pb file."""
    path = source.path
    definition = import_tensorflow().compat.v1.GraphDef()
    try:
        definition.ParseFromString(path.read_bytes())
        if not definition.node:
            raise ValueError("it contains no nodes")
        check_graph_limits(path, definition)
        return GraphDefSource(path, definition, read_constants(source))
    except OcrTrtError:
        raise
    except Exception as error:  # protobuf and TensorFlow have no common base class
        check_memory(error, path)
        raise InputFileError(
            f"{path}: not a frozen TensorFlow graph: {first_line(error)}"
        ) from error
