"""The places in the TensorFlow model that the nodes of a converted graph come from."""

from __future__ import annotations

import onnx


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
