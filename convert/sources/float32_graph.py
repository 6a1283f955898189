"""Change the float types of a TensorFlow graph to float32, before tf2onnx reads it.

    Const<half>, Op<half>       ->  Const<float>, Op<float>
    Cast<half>(x: float)        ->  Identity<float>(x)

tf2onnx would write bfloat16 as float16, in which -1e9 is infinite, and it does not recognize the
cells of recurrent layers between casts.

TensorFlow first folds what does not depend on the image, in its own types. So positions that a
model counts in bfloat16 keep the values that TensorFlow computes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from ...errors import ConversionError
from ..float_types import OTHER_FLOATS, FloatTypes, as_float32
from .large_weights import Weights

_NO_RESULT = ("Const", "Identity", "Placeholder")
"""Ops that do not compute: constants are counted apart, and the others only pass a tensor on."""


def nodes_of(graph: Any) -> list[Any]:
    """Return the nodes of a GraphDef and of the functions in it, such as the bodies of loops."""
    return [*graph.node, *(node for f in graph.library.function for node in f.node_def)]


def has_other_floats(graph: Any) -> bool:
    """Whether a GraphDef contains a tensor of another float type than float32."""
    return any(True for node in nodes_of(graph) for _ in _other_types(node))


def _other_types(node: Any) -> Iterator[str]:
    """Yield the float types other than float32 in the attributes of a node."""
    from tensorflow import as_dtype

    for value in node.attr.values():
        kinds = [value.type] if value.HasField("type") else value.list.type
        for kind in kinds:
            # Only types: 0 is no type, and above 100 are references.
            if 0 < kind < 100 and (name := as_dtype(kind).name) in OTHER_FLOATS:
                yield name


def to_float32(graph: Any, weights: Weights) -> FloatTypes:
    """Change all float types of a GraphDef to float32.

    Args:
        graph: a folded GraphDef; it is changed.
        weights: values of its placeholders; those that the model rounds to 16 bits are rounded.

    Returns:
        What was changed.

    Raises:
        ConversionError: an op reads the bits of such a number.
    """
    _round_weights(graph, weights)
    results, constants = Counter[str](), Counter[str]()
    for node in nodes_of(graph):
        found = set(_other_types(node))
        if not found:
            continue
        if node.op == "Bitcast":
            raise ConversionError(
                f"Bitcast at {node.name} reads the bits of a {' or '.join(sorted(found))} number, "
                "which has no float32 equivalent; replace it by a Cast"
            )
        if node.op == "Const":
            constants.update(found)
        elif node.op not in _NO_RESULT:
            results.update(found)
        _change_node(node)
    _remove_casts(graph.node)
    for function in graph.library.function:
        _rename_results(function, _remove_casts(function.node_def))
        for argument in (*function.signature.input_arg, *function.signature.output_arg):
            argument.type = _changed(argument.type)
    return FloatTypes(results=results, constants=constants)


def _changed(kind: int) -> int:
    """Return float32 in place of another float type."""
    from tensorflow import as_dtype, float32

    if 0 < kind < 100 and as_dtype(kind).name in OTHER_FLOATS:
        return int(float32.as_datatype_enum)
    return kind


def _change_node(node: Any) -> None:
    from tensorflow import make_ndarray, make_tensor_proto

    for value in node.attr.values():
        if value.HasField("type"):
            value.type = _changed(value.type)
        elif value.HasField("tensor") and _changed(value.tensor.dtype) != value.tensor.dtype:
            value.tensor.CopyFrom(make_tensor_proto(as_float32(make_ndarray(value.tensor))))
        elif value.list.type:
            value.list.type[:] = [_changed(kind) for kind in value.list.type]


def _remove_casts(nodes: Sequence[Any]) -> set[str]:
    """Turn casts from float32 to float32 into Identity nodes; return the names of their results.

    These names are those in the body of a function, where they contain the name in the op's
    definition.
    """
    names = set[str]()
    for node in nodes:
        if node.op == "Cast" and node.attr["SrcT"].type == node.attr["DstT"].type:
            kind = node.attr["DstT"].type
            node.op = "Identity"
            node.attr.clear()
            node.attr["T"].type = kind
            names.add(f"{node.name}:y:0")
    return names


def _rename_results(function: Any, names: set[str]) -> None:
    """Rename the results of casts that became Identity nodes in the body of a function."""
    for node in function.node_def:
        node.input[:] = [_as_identity(name) if name in names else name for name in node.input]
    for key, name in function.ret.items():
        if name in names:
            function.ret[key] = _as_identity(name)


def _as_identity(name: str) -> str:
    return name.removesuffix(":y:0") + ":output:0"


def _round_weights(graph: Any, weights: Weights) -> None:
    """Round the weights that are kept outside the graph as the casts behind them do."""
    from tensorflow import as_dtype

    readers: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name.split(":")[0]].append(node)
    for name, array in weights.items():
        # A weight with several readers may be used in float32, too.
        (reader, *others) = readers[name] or [None]
        if others or reader is None or reader.op != "Cast":
            continue
        to = as_dtype(reader.attr["DstT"].type)
        if to.name in OTHER_FLOATS:
            weights[name] = array.astype(to.as_numpy_dtype).astype(array.dtype)
