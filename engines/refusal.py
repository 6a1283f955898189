"""Explain why a runtime refuses a graph: which node, which TensorFlow layer, and the cause.

Runtimes report a refusal in their own terms, often without the node. If the message does not name
one, each node is tried alone, with its constants and the shapes of its inputs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping

import onnx

from ..common.error_text import cause
from ..errors import EngineBuildError

_LISTED = 3
"""Nodes that an error names; others are counted."""
_SECONDS = 20.0
"""After so many seconds no further node is tried alone."""

Accepts = Callable[[onnx.ModelProto], object]
"""Reads and compiles a graph; raises an exception if the runtime refuses it."""


def refused_nodes(model: onnx.ModelProto, accepts: Accepts) -> dict[str, str]:
    """Return the nodes of a graph that a runtime refuses, with the causes.

    The key is "" if no node is refused alone, only the graph as a whole.
    """
    try:
        accepts(model)
    except Exception as error:  # runtimes have no common base class of their errors
        text = str(error)
    else:
        return {}
    found, known = dict[str, str](), dict[bytes, str]()
    end = time.monotonic() + _SECONDS
    for name, single in _single_nodes(model):
        key = _without_names(single)
        if key not in known and time.monotonic() < end:
            known[key] = _why_refused(single, accepts)
        if known.get(key):
            found[name] = known[key]
    return found or {name: cause(text) for name in _named_in(text, model) or ("",)}


def _named_in(text: str, model: onnx.ModelProto) -> list[str]:
    """Return the nodes whose name, or else whose op, a message contains as a word."""
    nodes = [(node.name or node.output[0], node.op_type) for node in model.graph.node]
    words = set(re.findall(r"[\w./:-]+", text)) | set(re.findall(r"\w+", text))
    return [name for name, _ in nodes if name in words and "/" in name] or [
        name for name, op in nodes if op in words
    ]


def _why_refused(model: onnx.ModelProto, accepts: Accepts) -> str:
    try:
        accepts(model)
    except Exception as error:
        return cause(str(error))
    return ""


def _single_nodes(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.ModelProto]]:
    """Yield the name of each node and a model of it alone, if the types of its inputs are known."""
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception:  # a graph over 2 GB, or one that onnx itself refuses
        graph = model.graph
    values = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {node.output[0]: node for node in graph.node if node.op_type == "Constant"}
    for node in graph.node:
        if node.op_type == "Constant":
            continue
        # The graphs inside If and Loop may read values of this graph, too.
        inner = [n for n in _read_inside(node) if n in values or n in constants]
        read = list(dict.fromkeys((*filter(None, node.input), *inner)))
        inputs = [name for name in read if name not in constants]
        if not all(name in values for name in inputs):
            continue
        single = onnx.ModelProto(ir_version=model.ir_version)
        single.opset_import.extend(model.opset_import)
        single.functions.extend(model.functions)
        single.graph.name = "node"
        single.graph.input.extend(values[name] for name in inputs)
        outputs = (name for name in node.output if name)
        unknown = onnx.ValueInfoProto
        single.graph.output.extend(values.get(name, unknown(name=name)) for name in outputs)
        for each in (constants[name] for name in read if name in constants):
            if isinstance(each, onnx.TensorProto):
                single.graph.initializer.append(each)
            else:
                single.graph.node.append(each)
        single.graph.node.append(node)
        yield node.name or node.output[0], single


def _read_inside(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that the nodes of inner graphs read."""
    for item in node.attribute:
        for each in item.g.node:
            yield from each.input
            yield from _read_inside(each)


def _without_names(model: onnx.ModelProto) -> bytes:
    """Return what a model of one node computes, for which shapes; equal nodes are tried once."""
    parts: list[bytes] = []
    for node in model.graph.node:
        parts.append(f"{node.domain}.{node.op_type}".encode())
        parts += [each.SerializeToString(deterministic=True) for each in node.attribute]
    parts += [value.type.SerializeToString(deterministic=True) for value in model.graph.input]
    parts += [repr((each.data_type, *each.dims)).encode() for each in model.graph.initializer]
    return b"|".join(parts)


def refusal_text(target: str, model: onnx.ModelProto, refused: Mapping[str, str]) -> str:
    """Return the message about refused nodes: ops, layers, causes and what to do."""
    # onnx_ir takes as long to import as all the rest that opening a bundle needs.
    from ..convert.tensorflow_names import tensorflow_node

    nodes = {node.name or node.output[0]: node for node in model.graph.node}
    parts = []
    for name, why in list(refused.items())[:_LISTED]:
        node = nodes.get(name)
        op = f"{node.op_type} " if node is not None else ""
        layer = tensorflow_node(model, node.output[0]) if node is not None else name
        place = f" (in the model at {layer})" if layer not in (name, "") and "/" in layer else ""
        parts.append(f"{op}{name}{place}: {why}" if name else f"the graph: {why}")
    more = len(refused) - len(parts)
    listed = "; ".join(parts) + (f"; and {more} more" if more > 0 else "")
    return (
        f"{target} refuses {listed}. Rewrite the layer with other ops, end the model before it "
        "(output.name in the spec), or build for another target"
    )


def refusal_error(
    target: str, model: onnx.ModelProto, refused: Mapping[str, str]
) -> EngineBuildError:
    """Return the error about a graph that a target refuses."""
    return EngineBuildError(refusal_text(target, model, refused))
