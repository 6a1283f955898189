"""Find and remove what a model does besides computing its outputs: random numbers, variables.

Keras saves dropout with a seed generator: a variable that every call advances, even in inference
mode. A stateful recurrent layer writes its last state into a variable. An engine keeps nothing
between two images, so every image starts with the values in the file:

    AssignVariableOp(variable, x)   ->  nothing

A model that reads a variable after it has written it is refused, and so is a model whose result is
random.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ...errors import ConversionError
from .graph_nodes import functions_of, node_of, upstream

ASSIGNS = re.compile(
    r"Assign(Add|Sub)?VariableOp|ResourceScatter\w+|ResourceApply\w+|ResourceStridedSliceAssign"
)
"""Ops that write a variable, their first input."""
_RANDOM = re.compile(
    r"(Stateless|Stateful)?Random(Uniform|Normal|StandardNormal|Gamma|Poisson|Binomial|Shuffle)\w*"
    r"|(Stateless|Stateful|Parameterized|StatelessParameterized)?TruncatedNormal(V2)?"
    r"|Stateful(StandardNormal|Uniform)\w*|(Stateless)?Multinomial|StatelessShuffle|RngReadAndSkip"
)
_READS = ("ReadVariableOp", "ResourceGather", "ResourceGatherNd")
_LOOPS = ("While", "StatelessWhile")
_RUNS = 12
"""How often a model with random ops is run: one that flips a coin is missed once in 2048 times."""
_MODEL_SCOPE = re.compile(r"((Stateful)?PartitionedCall|functional(_\d+)*|model(_\d+)*)/")
_HELPER_SCOPE = re.compile(r"/(stateless_dropout|dropout|random_\w+|stateless_\w+)(/.*)?$")


def _is_random(node: Any) -> bool:
    return _RANDOM.fullmatch(node.op) is not None


def layer_of(node: str) -> str:
    """Return the layer that a node's name starts with, without the names around the whole model."""
    name = node
    while (found := _MODEL_SCOPE.match(name)) is not None:
        name = name[found.end() :]
    scope = "/".join(name.split("/")[:-1]) or name
    return _HELPER_SCOPE.sub("", scope)


def parts(graph: Any, results: Sequence[str]) -> Iterator[tuple[str, Any, list[Any]]]:
    """Yield (caller, all nodes, needed nodes) of a GraphDef and of each function that it needs.

    ``caller`` is the name of the node that calls the function; "" for the graph itself. A node is
    needed if results depend on it through its values, not only through the order of ops.
    """
    functions = {function.signature.name: function for function in graph.library.function}
    todo = [("", graph.node, list(results))]
    seen = set[str]()
    for caller, nodes, ends in todo:  # the loop appends to the list
        needed = upstream(nodes, ends, control=False)
        yield caller, nodes, needed
        for node in needed:
            for name in set(functions_of(node)) & functions.keys() - seen:
                seen.add(name)
                inner = functions[name]
                todo.append((caller or node.name, inner.node_def, list(inner.ret.values())))


def random_nodes(graph: Any, results: Sequence[str]) -> list[str]:
    """Return the names of nodes that draw random numbers for the results of a GraphDef."""
    return [
        f"{caller}/{node.name}" if caller else node.name
        for caller, _, needed in parts(graph, results)
        for node in needed
        if _is_random(node)
    ]


def check_deterministic(
    graph: Any, results: Sequence[str], run: Callable[[Any], Any], shape: tuple[int, ...]
) -> None:
    """Refuse a model that returns two results for one image.

    A graph without random ops is not run. Dropout that keeps everything, as in a frozen graph of
    TensorFlow 1 with keep_prob 1, is no reason to refuse a model.

    Args:
        graph: the GraphDef.
        results: tensor names.
        run: the model, a function of one float32 tensor.
        shape: the shape of that tensor.

    Raises:
        ConversionError: it names the layers that draw random numbers.
    """
    from tensorflow import constant

    found = random_nodes(graph, results)
    if not found:
        return
    image = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    # TensorFlow's stateful random ops continue their sequence of numbers in the next run. A layer
    # such as RandomFlip changes about every second image only.
    first = np.asarray(run(constant(image)))
    others = (np.asarray(run(constant(image))) for _ in range(_RUNS - 1))
    if all(np.array_equal(first, other, equal_nan=True) for other in others):
        return
    layers = list(dict.fromkeys(map(layer_of, found)))
    listed = ", ".join(layers[:5]) + (", ..." if len(layers) > 5 else "")
    raise ConversionError(
        f"runs of the model on the same images give different results, because these layers draw "
        f"random numbers: {listed}. Call them with training=False (dropout, noise), or remove "
        "them, and save the model again; or end the model before them (output.name in the spec)"
    )


def has_states(graph: Any) -> bool:
    """Whether a GraphDef writes a variable of floats, such as the state of a recurrent layer."""
    from tensorflow import as_dtype

    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return any(
        ASSIGNS.fullmatch(node.op) is not None and as_dtype(node.attr["dtype"].type).is_floating
        for node in nodes
    )


def remove_assignments(graph: Any, results: Sequence[str]) -> None:
    """Remove the ops that write variables from a GraphDef whose calls are inlined, in place.

    Raises:
        ConversionError: a result depends on what the model wrote into a variable.
    """
    for caller, nodes, needed in parts(graph, results):
        is_loop = any(node.name == caller and node.op in _LOOPS for node in graph.node)
        _check_reads(caller, nodes, needed, is_loop)
    _drop_assignments(graph.node)
    for function in graph.library.function:
        gone = _drop_assignments(function.node_def)
        # A function lists the ops that must run although nothing reads them.
        for name in [key for key, node in function.control_ret.items() if node in gone]:
            del function.control_ret[name]
            function.signature.control_output.remove(name)


def _drop_assignments(nodes: Any) -> set[str]:
    """Remove assignments from a list of nodes, in place, and return their names."""
    gone = {node.name for node in nodes if ASSIGNS.fullmatch(node.op)}
    if not gone:
        return gone
    kept = [node for node in nodes if node.name not in gone]
    for node in kept:
        # An assignment has no results: other nodes can only name it as a control input.
        inputs = [name for name in node.input if node_of(name) not in gone]
        if len(inputs) < len(node.input):
            node.input[:] = inputs
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del nodes[:]
    nodes.extend(copies)
    return gone


def _check_reads(caller: str, nodes: Any, needed: list[Any], is_loop: bool) -> None:
    """Refuse a needed read of a variable behind an assignment to the same variable."""
    assigns = [node for node in nodes if ASSIGNS.fullmatch(node.op)]
    written = {node.input[0] for node in assigns}
    for read in needed if assigns else ():
        if read.op not in _READS or read.input[0] not in written:
            continue
        before = {node.name for node in upstream(nodes, [read.name], control=True)}
        # In a loop, a read in the next step follows every assignment of this step.
        if is_loop or any(a.name in before and a.input[0] == read.input[0] for a in assigns):
            raise ConversionError(
                f"the layer {layer_of(caller or read.name)} writes a variable and reads it again "
                f"({read.name}). An engine keeps nothing between images; remove the variable from "
                "the model's call, or end the model before the layer (output.name in the spec)"
            )
