"""SavedModel folders."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ...common.error_text import check_memory, first_line
from ...errors import InputFileError
from ...spec import SourceSpec
from ..recurrent.cudnn import has_cudnn
from . import Cut, Signature, TensorInfo, missing_name
from .constants import Constants, read_constants
from .graph_def_source import GraphDefSource
from .joined_outputs import JOIN, joined_tensors
from .large_weights import Exported
from .side_effects import has_states
from .tf_graph import (
    accepting_float,
    graph_def_from_function,
    import_tensorflow,
    onnx_from_function,
)
from .unsafe_ops import check_graph, check_saved_model


class SavedModelSource:
    """One signature of a SavedModel."""

    def __init__(
        self,
        path: Path,
        signature: str,
        tags: tuple[str, ...] = (),
        constants: Constants | None = None,
    ) -> None:
        tf = import_tensorflow()
        self._path, self._constants = path, constants or {}
        check_saved_model(path)
        try:
            # It must stay alive: it owns the variables that the signature reads.
            self._model = tf.saved_model.load(str(path), tags=list(tags) or None)
        except Exception as error:  # TensorFlow raises half a dozen unrelated types here
            check_memory(error, path)
            raise InputFileError(
                f"{path}: TensorFlow cannot load it as a SavedModel: {first_line(error)}"
                f"{_tags_of(path)}"
            ) from error
        known = dict(self._model.signatures)
        if signature not in known:
            raise missing_name(path, "signature", signature, sorted(known))
        self._signature = known[signature]

    def signature(self) -> Signature:
        """Return the inputs and outputs of the signature."""
        inputs = self._signature.structured_input_signature[1]
        return Signature(inputs=_infos(inputs), outputs=_infos(self._signature.structured_outputs))

    @cached_property
    def _graph(self) -> GraphDefSource:
        """The signature as a frozen graph whose ends have the names of its inputs and outputs."""
        tf, call = import_tensorflow(), self._signature
        self._check_clash()

        # Identity nodes carry the names of the outputs into the frozen graph.
        def named(**inputs: Any) -> Any:
            return {name: tf.identity(value, name) for name, value in call(**inputs).items()}

        inputs = call.structured_input_signature[1].items()
        specs = {name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in inputs}
        definition = graph_def_from_function(named, specs)
        return GraphDefSource(self._path, definition, self._constants)

    def cut(self, rank: int) -> Cut | None:
        """Find the network between the ops that decode images and those that decode text."""
        return self._graph.cut(rank)

    def _check_clash(self) -> None:
        signature = self.signature()
        both = {i.name for i in signature.inputs} & {o.name for o in signature.outputs}
        if both:
            raise InputFileError(
                f"{self._path}: its signature has an input and an output named "
                f"{', '.join(sorted(both))}; export it with two names"
            )

    def _is_whole(self, input_name: str, output_name: str) -> bool:
        """Whether the signature can be used as it is: both names are its own.

        Otherwise its graph is cut at the named tensors. A graph with CudnnRNN is rewritten first,
        and one that writes states is frozen first, so neither is used as TensorFlow loaded it.
        """
        self._check_clash()
        signature = self.signature()
        graph = self._signature.graph.as_graph_def()
        is_own = not has_cudnn(graph) and not has_states(graph)
        return (
            is_own
            and [i.name for i in signature.inputs] == [input_name]
            and {*_names(output_name, signature)} <= {o.name for o in signature.outputs}
        )

    def function(self, input_name: str, output_name: str) -> Any:
        """Return the signature, or a part of its graph, as a function of one tensor."""
        if not self._is_whole(input_name, output_name):
            return self._graph.function(input_name, output_name)
        call = self._signature
        check_graph(self._path, call.graph.as_graph_def())
        (spec,) = call.structured_input_signature[1].values()

        names = _names(output_name, self.signature())

        def run(image: Any) -> Any:
            outputs = call(**{input_name: image})
            found = [outputs[name] for name in names]
            return found[0] if len(found) == 1 else joined_tensors(found)

        return accepting_float(run, spec.dtype)

    def to_onnx(self, input_name: str, shape: tuple[int, ...], output_name: str) -> Exported:
        """Return raw ONNX at a fixed input shape."""
        if not self._is_whole(input_name, output_name):
            return self._graph.to_onnx(input_name, shape, output_name)
        function = self.function(input_name, output_name)
        return onnx_from_function(function, input_name, shape, output_name)


def _names(output_name: str, signature: Signature) -> list[str]:
    """Return the name of an output, or those of several that are joined."""
    is_one = output_name in [info.name for info in signature.outputs]
    return [output_name] if is_one else output_name.split(JOIN)


def _infos(specs: Mapping[str, Any]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo.of_tensorflow(name, spec) for name, spec in sorted(specs.items()))


def _tags_of(path: Path) -> str:
    """Return a list of the available tags for an error message; "" for a single graph."""
    from tensorflow.python.saved_model.loader_impl import parse_saved_model

    try:
        graphs = parse_saved_model(str(path)).meta_graphs
    except OSError:
        return ""
    tags = ["+".join(graph.meta_info_def.tags) for graph in graphs]
    return f"; its graphs have the tags {', '.join(tags)} (source.tags)" if len(tags) > 1 else ""


def open_source(source: SourceSpec) -> SavedModelSource:
    """Open a SavedModel folder."""
    constants = read_constants(source)
    return SavedModelSource(source.path, source.signature, source.tags, constants)
