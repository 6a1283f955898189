"""Give a Loop that stays a fixed number of steps, known shapes, and a body without outer values.

    Loop(limit, condition, s; body reads x)  ->  Loop(T, , s, x; body reads its own inputs only)

A loop that may end earlier takes all T steps, and keeps its values from the step on at which it
would have ended:

    s' = Where(going, step(s), s)    y = Where(going, y, 0)    going' = going and condition

That is what TensorFlow returns: the elements of a TensorArray that no step writes are 0. TensorRT
requires the number of steps, and passes on the outer graph cannot see what a body reads from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from ..graph import (
    constant,
    graph_of,
    is_read,
    name_of,
    new_initializer,
    not_none,
    reads_of,
    replace_keeping_name,
    shape_of,
    static_shape,
)
from ..node_builder import NodeBuilder
from .loop_bodies import (
    Fold,
    deep_nodes,
    infer_body,
    lift_initializers,
    rename_made,
    replace_inside,
)
from .loop_steps import Steps, steps_of
from .loops import Carried, NoRecurrenceError, body_of, carried_values, itself
from .scans import loop_from_scan

_FLAG = ir.TensorType(ir.DataType.BOOL)


@dataclass(kw_only=True)
class _Parts:
    """The parts of a loop that its results need."""

    carried: list[Carried]
    results: list[tuple[ir.Value, ir.Value]] = field(default_factory=list)
    """(y[t] in the body, the loop's stacked output)."""


def _needed(loop: ir.Node) -> _Parts:
    """Drop carried values and results that nothing needs, such as the counters of TensorFlow."""
    body, carried = body_of(loop), carried_values(loop)
    stacked = zip(body.outputs[1 + len(carried) :], loop.outputs[len(carried) :], strict=True)
    results = [(y, out) for y, out in stacked if is_read(out)]
    by_input = {each[1]: each for each in carried}
    finals = {each[1] for each in carried if is_read(each[3])}
    todo = [body.outputs[0], *(y for y, _ in results), *(by_input[v][2] for v in finals)]
    seen, live = set(todo), set(finals)
    for value in todo:  # the loop appends to the list
        node, above = value.producer(), list[ir.Value]()
        if value in by_input:
            live.add(value)
            above.append(by_input[value][2])
        elif node is not None and node.graph is body:
            above += reads_of(node)
        todo += [each for each in dict.fromkeys(above) if each not in seen]
        seen.update(above)
    return _Parts(carried=[each for each in carried if each[1] in live], results=results)


def _capture(body: ir.Graph, parts: _Parts, owner: str) -> list[Carried]:
    """Turn what a body reads from outside into own initializers and carried values.

    ``owner`` is a name of the loop: several loops may read the same value.
    """
    nodes = deep_nodes(body)
    own = {
        *body.inputs,
        *(c[1] for c in parts.carried),
        *(v for node in nodes for v in node.outputs),
    }
    own |= {v for node in nodes for v in graph_of(node).initializers.values()}
    own |= set(body.initializers.values())
    for node in nodes:
        for item in node.attributes.values():
            if item.type == ir.AttributeType.GRAPH:
                own |= set(item.as_graph().inputs)
    read = [v for node in nodes for v in node.inputs if v is not None]
    new = list[Carried]()
    for value in dict.fromkeys([*read, *body.outputs]):
        if value in own:
            continue
        array = constant(value)
        if array is not None:
            replace_inside(body, value, new_initializer(body, array, f"{value.name}.inner"))
            continue
        inside = ir.Value(name=f"{value.name}.inner", type=value.type, shape=value.shape)
        replace_inside(body, value, inside)
        new.append((value, inside, inside, ir.Value(name=f"{owner}.{value.name}.unused")))
    return new


def _mask_steps(loop: ir.Node, parts: _Parts) -> Carried:
    """Let the body keep its values once the condition is false; return the carried flag."""
    body = body_of(loop)
    build = NodeBuilder(body, shapes=False)
    going = ir.Value(name=f"{loop.outputs[0].name}.going", type=_FLAG, shape=ir.Shape(()))
    replace_inside(body, body.inputs[1], going)
    goes_on = build.op("And", going, body.outputs[0], shape=())
    for index, (start, inside, after, final) in enumerate(parts.carried):
        if is_read(final) and itself(after) is not inside:
            kept = build.op("Where", going, after, inside, dtype=not_none(inside).dtype)
            parts.carried[index] = (start, inside, kept, final)
    for index, (value, out) in enumerate(parts.results):
        assert value.dtype is not None
        zero = np.zeros((), value.dtype.numpy())
        kept = build.op("Where", going, value, zero, dtype=value.dtype)
        parts.results[index] = (kept, out)
    body.extend(build.nodes)
    start = loop.inputs[1]
    if start is None:
        start = new_initializer(graph_of(loop), np.array(True), "going")
    return start, going, goes_on, ir.Value(name=f"{loop.outputs[0].name}.unused")


def _set_interface(body: ir.Graph, parts: _Parts) -> None:
    """Set inputs, outputs and input shapes of a body; see ``close_loop`` for their order."""
    build, step, flag = NodeBuilder(body, shapes=False), body.inputs[0], body.inputs[1]
    step.shape, flag.shape, flag.type = ir.Shape(()), ir.Shape(()), _FLAG
    for start, inside, _, _ in parts.carried:
        shape = static_shape(start)
        if shape is None or start is None:
            raise NoRecurrenceError("the shape of a value before its first step is not known")
        inside.shape, inside.type = ir.Shape(shape), start.type
    entries = [step, flag, *(inside for _, inside, _, _ in parts.carried)]
    # Runtimes expect every output of a body to be the output of a node of its own.
    outputs = [flag, *(c[2] for c in parts.carried), *(y for y, _ in parts.results)]
    body.outputs.clear()
    body.outputs.extend(build.op("Identity", value, dtype=value.dtype) for value in outputs)
    body.inputs.clear()
    body.inputs.extend(entries)
    body.extend(build.nodes)


def _check_shapes(body: ir.Graph, parts: _Parts) -> None:
    for value in body.outputs:
        if static_shape(value) is None:
            raise NoRecurrenceError(f"the shape of {value.name} in its body is not known")
    for (start, _, _, _), after in zip(parts.carried, body.outputs[1:], strict=False):
        if static_shape(start) != static_shape(after):
            raise NoRecurrenceError(
                f"its state grows from {start and start.shape} to {after.shape} in one step"
            )


def is_closed(loop: ir.Node) -> bool:
    """Whether a Loop was closed: its number of steps is known, and the shapes of its results."""
    return (
        loop.op_type == "Loop"
        and constant(loop.inputs[0]) is not None
        and itself(body_of(loop).outputs[0]) is body_of(loop).inputs[1]
        and constant(loop.inputs[1]) is not None
        and all(static_shape(value) is not None for value in loop.outputs)
    )


def close_loop(model: ir.Model, loop: ir.Node, fold: Fold) -> None:
    """Close a Loop in place.

    Args:
        model: the model.
        loop: a Loop in its main graph, or in the body of a loop; the shapes of all values that it
            reads are known.
        fold: folds the constants of a model, and infers shapes.

    Raises:
        NoRecurrenceError: its number of steps or the shape of a value is not known. The loop is
            useless after that, because its body has been changed.
    """
    steps, parts, body = steps_of(loop), _needed(loop), body_of(loop)
    if steps.ends_early:
        parts.carried.append(_mask_steps(loop, parts))
    if steps.count == 0:
        raise NoRecurrenceError("it has no steps")
    parts.carried += _capture(body, parts, name_of(loop.outputs[0]))
    _set_interface(body, parts)
    infer_body(model, body, fold)
    _close_inner_loops(model, body, fold)
    rename_made(body, name_of(loop.outputs[0]))
    lift_initializers(body, graph_of(loop))
    _check_shapes(body, parts)
    _replace_loop(loop, steps, parts)


def _close_inner_loops(model: ir.Model, body: ir.Graph, fold: Fold) -> None:
    """Close the loops in a body, whose inputs have known shapes by now.

    Termination: each turn closes one loop.
    """
    while left := [n for n in body if n.op_type in ("Loop", "Scan") and not is_closed(n)]:
        name = name_of(left[0].outputs[0])
        try:
            loop = loop_from_scan(left[0]) if left[0].op_type == "Scan" else left[0]
            close_loop(model, loop, fold)
        except NoRecurrenceError as reason:
            around = " or on the loop around it" if "depends" in str(reason) else ""
            raise NoRecurrenceError(f"the loop {name} in its body: {reason}{around}") from None
        # The shapes behind the loop are known only now.
        infer_body(model, body, fold)


def _replace_loop(loop: ir.Node, steps: Steps, parts: _Parts) -> None:
    """Insert the closed loop: (T, no condition, carried) -> (carried, stacked results)."""
    body, build = body_of(loop), NodeBuilder(graph_of(loop))
    count = build.constant(np.array(steps.count, np.int64))
    node = ir.node(
        "Loop",
        # TensorRT's parser does not know the condition inside a body if the loop states none.
        [count, build.constant(np.array(True)), *(start for start, _, _, _ in parts.carried)],
        {"body": body},
        num_outputs=len(parts.carried) + len(parts.results),
        name=loop.name,
    )
    olds = [*(final for *_, final in parts.carried), *(out for _, out in parts.results)]
    for index, (old, new) in enumerate(zip(olds, node.outputs, strict=True)):
        inner = body.outputs[1 + index]
        ahead = () if index < len(parts.carried) else (steps.count,)
        new.type, new.shape = inner.type, ir.Shape((*ahead, *shape_of(inner)))
        replace_keeping_name(old, new)
    graph_of(loop).insert_before(loop, node)
    graph_of(loop).remove(loop, safe=True)
