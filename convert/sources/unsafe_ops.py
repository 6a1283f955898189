"""Refuse graphs with ops that do more than compute: files, processes, network, printing, Python.

TensorFlow runs whatever a graph contains: ``tf.io.write_file`` in a SavedModel writes a file on the
machine that converts the model, and an initializer does so when the model is loaded. Therefore a
graph is checked before TensorFlow loads or runs it.

An op is allowed if TensorFlow knows it and declares it stateless, unless it is in ``_READERS``. An
op that TensorFlow declares stateful is allowed if it is in ``_STATEFUL``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import InputFileError
from .graph_limits import check_graph_limits
from .graph_nodes import functions_of, upstream

# Stateful ops that compute, hold variables, tables and tensor arrays, call functions, or raise.
_STATEFUL = re.compile(
    r"Assert|CheckNumerics(V2)?|GuaranteeConst|Empty|DeviceIndex"
    r"|If|Case|While|StatefulPartitionedCall|Stack(Push|Pop|Close)?(V2)?"
    r"|TensorArray\w*|TemporaryVariable|DestroyResourceOp|CudnnRNN(V2|V3)?"
    r"|VarHandleOp|VarIsInitializedOp|Variable(V2|Shape)?|ReadVariableOp|DisableCopyOnRead"
    r"|Assign(Add|Sub)?VariableOp|Resource(Gather(Nd)?|Scatter\w+|StridedSliceAssign|CountUpTo)"
    # The optimizers in a graph that was saved during training write variables only.
    r"|Resource(Sparse)?Apply\w+"
    r"|(Anonymous)?(Mutable(Dense)?)?HashTable(OfTensors)?(V2)?|LookupTable\w+V2"
    r"|InitializeTable(FromTextFile)?V2|InitializeTable(FromTextFile)?"
    r"|Random\w+|TruncatedNormal|ParameterizedTruncatedNormal|Multinomial|NonDeterministicInts"
    r"|Stateful(Random\w+|StandardNormal(V2)?|TruncatedNormal|Uniform\w*)|StatelessRandomGetAlg"
    r"|Rng(ReadAndSkip|Skip)|(Dummy|Anonymous|Delete)(Random)?SeedGenerator"
    r"|SampleDistortedBoundingBox(V2)?|RestoreV2"
)
# Ops that TensorFlow declares stateless although they read files, end the process, call Python
# functions, or are the parts of an input pipeline.
_READERS = re.compile(
    r"Abort|\w*Dataset\w*|Debug\w+|Copy(Host)?|MatchingFiles|PyFuncStateless|ReadFile|Reader\w+"
    r"|\w*Summary(V2)?|Fact"
)
_FLEX = "Flex"
"""Prefix of TensorFlow ops in TensorFlow Lite files."""
# Edges of a SavedModel's object graph to functions that run when it is loaded.
_RUN_AT_LOAD = re.compile(r"_.*|initializer|save_function|restore_function")


def is_unsafe(op: str) -> bool:
    """Whether a TensorFlow op does more than compute, or is unknown."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(op)
    if definition is None:
        return True
    if definition.is_stateful:
        return _STATEFUL.fullmatch(op) is None
    return _READERS.fullmatch(op) is not None


def check_graph(path: Path, graph: Any, results: Iterable[str] | None = None) -> None:
    """Check a GraphDef and the functions that it calls.

    Args:
        path: the model, for the message.
        graph: the GraphDef.
        results: names of tensors or ops; only what they depend on is checked.

    Raises:
        InputFileError: it names the ops and the nodes.
    """
    nodes = graph.node if results is None else upstream(graph.node, results, control=True)
    _check_nodes(path, graph, nodes)


def check_saved_model(path: Path) -> None:
    """Check what TensorFlow runs when it loads a SavedModel folder: initializers and restoring.

    Raises:
        InputFileError: it names the ops and the nodes; or an asset is outside the folder; or the
            graph exceeds a limit. A file that cannot be parsed is left to TensorFlow's loader.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    definition = saved_model_pb2.SavedModel()
    try:
        definition.ParseFromString((path / "saved_model.pb").read_bytes())
    except Exception:  # protobuf's errors have no public base class
        return
    for meta in definition.meta_graphs:
        # Functions of TensorFlow 2 are called by a signature; the graph itself only restores.
        has_objects = bool(meta.object_graph_def.nodes)
        check_graph_limits(path, meta.graph_def, is_called_by_signature=has_objects)
        for asset in meta.asset_file_def:
            name = PurePosixPath(asset.filename)
            if name.is_absolute() or ".." in name.parts or "\\" in asset.filename:
                raise InputFileError(
                    f"{path}: its asset {asset.filename!r:.80} is outside the SavedModel; expected "
                    "a file name in its folder assets"
                )
        nodes = list(upstream(meta.graph_def.node, _ops_run_at_load(meta), control=True))
        nodes += _nodes_of(meta.graph_def, _functions_run_at_load(meta.object_graph_def))
        _check_nodes(path, meta.graph_def, nodes)


def check_lite_ops(path: Path, ops: Iterable[str]) -> None:
    """Check the names of a TensorFlow Lite model's ops: its TensorFlow ops can do anything.

    Raises:
        InputFileError: it names the ops.
    """
    unsafe = sorted({op for op in ops if op.startswith(_FLEX) and is_unsafe(op[len(_FLEX) :])})
    if unsafe:
        raise _refusal(path, [(op, op) for op in unsafe])


def _ops_run_at_load(meta: Any) -> Iterator[str]:
    """Yield the names of nodes that restore and initialize a SavedModel of TensorFlow 1."""
    yield meta.saver_def.restore_op_name
    for name, signature in meta.signature_def.items():
        if name.startswith("__saved_model"):
            yield from (tensor.name for tensor in signature.outputs.values())
    for collection in meta.collection_def.values():
        yield from collection.node_list.value


def _functions_run_at_load(objects: Any) -> Iterator[str]:
    """Yield the names of functions that restore and initialize a SavedModel of TensorFlow 2."""
    for node in objects.nodes:
        called = [c.node_id for c in node.children if _RUN_AT_LOAD.fullmatch(c.local_name)]
        for saveable in node.saveable_objects.values():
            called += [saveable.save_function, saveable.restore_function]
        for target in called:
            if 0 <= target < len(objects.nodes):
                function = objects.nodes[target]
                yield from function.function.concrete_functions
                yield function.bare_concrete_function.concrete_function_name


def _nodes_of(graph: Any, functions: Iterable[str]) -> Iterator[Any]:
    names = set(functions)
    for function in graph.library.function:
        if function.signature.name in names:
            yield from function.node_def


def _with_functions(graph: Any, nodes: Iterable[Any]) -> Iterator[Any]:
    """Yield nodes and all nodes of the functions that they call, each function once."""
    functions = {function.signature.name: function for function in graph.library.function}
    todo, seen = list(nodes), set[str]()
    for node in todo:  # the loop appends to the list
        yield node
        # An op may be the call of a function of that name.
        for name in {node.op, *functions_of(node)} & functions.keys() - seen:
            seen.add(name)
            todo += functions[name].node_def


def _check_nodes(path: Path, graph: Any, nodes: Iterable[Any]) -> None:
    functions = {function.signature.name for function in graph.library.function}
    # One node of each op, because a graph has many nodes and few ops.
    ops = {node.op: node.name for node in _with_functions(graph, nodes)}
    unsafe = [(op, name) for op, name in ops.items() if op not in functions and is_unsafe(op)]
    if unsafe:
        raise _refusal(path, unsafe)


def _refusal(path: Path, found: list[tuple[str, str]]) -> InputFileError:
    listed = ", ".join(f"{op} ({name})"[:120] for op, name in found[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return InputFileError(
        f"{path}: contains ops that do more than compute (files, printing, Python, network) or "
        f"that TensorFlow does not know: {listed}{more}; nothing was run. Export the model without "
        "them, or cut it after them (input.name and output.name in the spec)"
    )
