"""The layers of the TensorFlow model that the nodes of a converted graph come from."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import takewhile

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


class LayerNames:
    """The layers of the source model that the values of a graph belong to.

    Names that come from TensorFlow are paths of scopes, with the op as the last part. In
    ``functional_1/bilstm_1/forward_lstm_1/transpose``, the layer is ``bilstm/forward_lstm``: scopes
    that all paths share are left out, and so is the number that Keras 3 appends to every layer's
    scope when it traces a model.
    """

    def __init__(self, graph: ir.Graph) -> None:
        names = (name_of(value) for node in graph for value in node.outputs if value.name)
        paths = [name.split("/")[:-1] for name in names if "/" in name]
        self._shared = 0
        # Scopes of the whole model, such as "StatefulPartitionedCall" and "functional_1".
        while len({tuple(path[: self._shared + 1]) for path in paths}) == 1 and all(
            len(path) > self._shared + 1 for path in paths
        ):
            self._shared += 1
        # "conv_1" alone may be a layer's own name, but not if every scope ends in "_1".
        numbers = {_number(part) for path in paths for part in path[: self._shared + 1]}
        self._suffix = numbers.pop() if len(numbers) == 1 else ""

    def layer_of(self, path: str) -> str:
        """Return the layer of a path of TensorFlow; "" if the op is in no layer."""
        parts = path.split("/")[self._shared : -1]
        return "/".join(part.removesuffix(self._suffix) for part in parts)

    def place_of(self, value: ir.Value) -> str:
        """Return the layer of a value; "" if it is unknown.

        A value whose name is not from TensorFlow is in the layer that the nearest values before and
        after it share. Otherwise it is "before" the layer of the nearest later value with such a
        name, or else "behind" that of the nearest earlier one.
        """
        if "/" in (value.name or ""):
            return self.layer_of(name_of(value))
        readers = consumers(value)
        # Keras and TensorFlow compute a dense layer or convolution and its bias in one scope.
        if [node.op_type for node in readers] == ["Add"] and any(
            map(_is_constant, readers[0].inputs)
        ):
            name = name_of(readers[0].outputs[0])
            if "/" in name:
                return self.layer_of(name)
        after, before = (_nearest(value, next_to) for next_to in (_readers, _sources))
        later, earlier = self.layer_of(after), self.layer_of(before)
        pairs = zip(later.split("/"), earlier.split("/"), strict=False)
        shared = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
        if any(shared):
            return "/".join(shared)
        return f"before {later}" if later else f"behind {earlier}" if earlier else ""


def _is_constant(value: ir.Value | None) -> bool:
    return value is not None and constant(value) is not None


def _number(scope: str) -> str:
    """Return the number at the end of a scope, such as "_1"; "" if there is none."""
    found = re.search(r"_\d+$", scope)
    return found[0] if found else ""


def _nearest(value: ir.Value, next_to: Callable[[ir.Value], list[ir.Value]]) -> str:
    """Return the nearest name with a slash; "" if there is none."""
    pending, seen = next_to(value), {value}  # breadth first: the nearest comes first
    while pending:
        each = pending.pop(0)
        if "/" in (each.name or ""):
            return str(each.name)
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
