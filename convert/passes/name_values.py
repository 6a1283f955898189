"""Give values, nodes and weights names that are equal in every run and show their origin.

    PartitionedCall/model/conv1/Relu:0__12   ->  model/conv1/Relu
    val_7, the result of the third Add       ->  Add_3
    the second input of a node "f"           ->  f.weight

A value that TensorFlow named keeps its name, without what function calls and tf2onnx add to it. All
others are numbered by op type in graph order (see ``order_nodes``). A node gets the name of its
first output, and a weight that of the node that reads it. Exporters write counters and even memory
addresses into names, so two runs would differ without this pass.

Termination: each value is named once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator

import onnx_ir as ir

from ..outcome import Outcome

_PREFIX = re.compile(r"^(Stateful)?PartitionedCall(_\d+)?/")
_SUFFIX = re.compile(r"(:\d+)?(__\d+)?(:\d+)?(_stored|_viewed|_replaced)*$")
_GENERATED = re.compile(r"^(val_\d+|Identity\w*|[A-Za-z]+__\d+|einsum\d+\w*)$")
_ROLES = {1: "weight", 2: "bias"}
"""By the index of the input; others are "in3" and so on."""


def _meaningful(name: str) -> str | None:
    """Return the part of a name that comes from TensorFlow, or None if there is none."""
    previous = None
    # Calls can be nested: strip prefixes until none is left.
    while name != previous:
        previous, name = name, _PREFIX.sub("", name)
    if _GENERATED.match(name.split(":")[0]):
        return None
    name = _SUFFIX.sub("", name)
    return name if "/" in name else None


def name_values(model: ir.Model) -> Outcome:
    """Rename all inner values, nodes and initializers."""
    graph, counts = model.graph, Counter[str]()
    # Inputs and outputs have the names of the spec.
    kept = {value.name for value in [*graph.inputs, *graph.outputs]}
    taken = set(kept)

    def free(expected: str) -> str:
        name, number = expected, 1
        while name in taken:
            number += 1
            name = f"{expected}_{number}"
        taken.add(name)
        return name

    for each in _graphs(graph):
        for value in each.inputs if each is not graph else ():
            counts["input"] += 1
            value.name = free(_meaningful(value.name or "") or f"input_{counts['input']}")
        for node in each:
            for value in node.outputs:
                if value.name in kept and value in graph.outputs:
                    continue
                expected = _meaningful(value.name or "")
                if expected is None:
                    counts[node.op_type] += 1
                    expected = f"{node.op_type}_{counts[node.op_type]}"
                value.name = free(expected)
            node.name = node.outputs[0].name
            _forget_notes(node)
    for each in _graphs(graph):
        _name_initializers(each, free)
    return Outcome(changed=len(graph))


def _graphs(graph: ir.Graph) -> Iterator[ir.Graph]:
    """Yield a graph and all graphs inside its nodes; names must be unique among all of them."""
    yield graph
    for node in graph:
        for item in node.attributes.values():
            if item.type == ir.AttributeType.GRAPH:
                yield from _graphs(item.as_graph())


def _forget_notes(node: ir.Node) -> None:
    """Drop onnxscript's metadata about folded constants: its order differs from run to run."""
    node.metadata_props.clear()
    for value in (*node.outputs, *node.inputs):
        if value is not None:
            value.metadata_props.clear()


def _name_initializers(graph: ir.Graph, free: Callable[[str], str]) -> None:
    """Name each initializer after the first node that reads it; drop those without a reader."""
    # Registered again below, in the order in which nodes read them.
    initializers = list(graph.initializers.values())
    graph.initializers.clear()
    own, order = set(initializers), dict[ir.Value, str]()
    for node in (node for each in _graphs(graph) for node in each):
        for index, value in enumerate(node.inputs):
            if value in own and value is not None and value not in order:
                order[value] = f"{node.name}.{_ROLES.get(index, f'in{index}')}"
    for value in initializers:
        if value.is_graph_output() and value not in order:  # a branch may return a constant
            order[value] = "constant"
    for value, name in order.items():
        value.name = free(name)
        graph.register_initializer(value)
