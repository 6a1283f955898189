"""The places in the TensorFlow model that the nodes of a converted graph come from."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from .graph import constant, consumers, name_of


def tensorflow_node(proto: onnx.ModelProto, value: str) -> str:
    """Return the name of the first node, at a value or after it, that TensorFlow named.

    ``value`` itself if there is none.
    """
    reached = {value}
    for node in proto.graph.node:
        if reached & {*node.input, *node.output}:
            if "/" in node.name:  # TensorFlow's scopes; passes write no slash
                return node.name
            reached.update(node.output)
    return value


def place_in_model(value: ir.Value) -> str:
    """Return the place of a value in the TensorFlow model; "" if it is unknown.

    Names that come from TensorFlow contain a slash. A value with another name is "before" the
    nearest later value with a TensorFlow name, or else "behind" the nearest earlier one.
    """
    if "/" in name_of(value):
        return name_of(value)
    for word, next_to in (("before", _readers), ("behind", _sources)):
        pending, seen = next_to(value), {value}  # breadth first: the nearest comes first
        while pending:
            each = pending.pop(0)
            if "/" in (each.name or ""):
                return f"{word} {each.name}"
            if each not in seen:
                seen.add(each)
                pending += next_to(each)
    return ""


def _readers(value: ir.Value) -> list[ir.Value]:
    return [result for node in consumers(value) for result in node.outputs if result.name]


def _sources(value: ir.Value) -> list[ir.Value]:
    node = value.producer()
    inputs = [] if node is None else node.inputs
    return [each for each in inputs if each is not None and constant(each) is None]
