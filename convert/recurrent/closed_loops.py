"""Give a Loop that stays a fixed number of steps, known shapes, and a body without outer values.

    Loop(limit, condition, s; body reads x)  ->  Loop(T, , s, x; body reads its own inputs only)

A loop that may end earlier takes all T steps, and keeps its values from the step on at which it
would have ended:

    s' = Where(going, step(s), s)    y = Where(going, y, 0)    going' = going and condition

That is what TensorFlow returns: the elements of a TensorArray that no step writes are 0. TensorRT
requires the number of steps, and passes on the outer graph cannot see what a body reads from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from ..graph import (
    attribute,
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
from .loop_steps import Steps, steps_of
from .loops import Carried, NoRecurrenceError, body_of, carried_values, itself

Fold = Callable[[ir.Model], object]
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


def _deep_nodes(graph: ir.Graph) -> list[ir.Node]:
    """Return the nodes of a graph and of all graphs inside it."""
    found = list[ir.Node]()
    for node in graph:
        found.append(node)
        for item in node.attributes.values():
            if item.type == ir.AttributeType.GRAPH:
                found += _deep_nodes(item.as_graph())
    return found


def _replace_inside(body: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Replace the uses of a value in a body and in the graphs inside it."""
    inside = set(_deep_nodes(body))
    for node, index in list(old.uses()):
        if node in inside:
            node.replace_input_with(index, new)
    for index, value in enumerate(body.outputs):
        if value is old:
            body.outputs[index] = new


def _capture(body: ir.Graph, parts: _Parts) -> list[Carried]:
    """Turn what a body reads from outside into own initializers and carried values."""
    nodes = _deep_nodes(body)
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
            _replace_inside(body, value, new_initializer(body, array, f"{value.name}.inner"))
            continue
        inside = ir.Value(name=f"{value.name}.inner", type=value.type, shape=value.shape)
        _replace_inside(body, value, inside)
        new.append((value, inside, inside, ir.Value(name=f"{value.name}.unused")))
    return new


def _mask_steps(loop: ir.Node, parts: _Parts) -> Carried:
    """Let the body keep its values once the condition is false; return the carried flag."""
    body = body_of(loop)
    build = NodeBuilder(body, shapes=False)
    going = ir.Value(name=f"{loop.outputs[0].name}.going", type=_FLAG, shape=ir.Shape(()))
    _replace_inside(body, body.inputs[1], going)
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


def _infer_body(model: ir.Model, body: ir.Graph, fold: Fold) -> None:
    """Infer the shapes in a body, and fold what they make constant."""
    body.opset_imports.update(model.graph.opset_imports)
    for node in body:
        for value in node.outputs:
            value.shape = None
    inner = ir.Model(body, ir_version=10)
    common.ShapeInferencePass()(inner)
    fold(inner)
    common.ShapeInferencePass()(inner)
    build, made = NodeBuilder(body), set[ir.Value]()
    for index, value in enumerate(body.outputs):
        # Folding leaves inputs and constants as outputs, and may merge two outputs to one.
        if value.producer() is None or value in made:
            body.outputs[index] = value = build.op("Identity", value)
        made.add(value)
    body.extend(build.nodes)


def rename_made(body: ir.Graph, owner: str) -> None:
    """Give the values that were made here names that are free in the outer graph too."""
    made = [*body.initializers.values(), *(v for node in _deep_nodes(body) for v in node.outputs)]
    for number, value in enumerate(made):
        # onnx_ir numbers values (val_3) and we number constants (x(3)), in each graph from 0.
        if value.name and value.name.startswith("val_"):
            value.name = f"{owner}.val_{number}"
        elif value.name and value.name.endswith(")"):
            value.name = f"{owner}.constant_{number}"


def lift_initializers(body: ir.Graph, graph: ir.Graph) -> None:
    """Move the constants of a body to the outer graph: TensorRT's parser ignores them in a body."""
    for name, value in list(body.initializers.items()):
        del body.initializers[name]
        graph.register_initializer(value)


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
        loop: a Loop in its main graph; the shapes of all values that it reads are known.
        fold: folds the constants of a model, and infers shapes.

    Raises:
        NoRecurrenceError: its number of steps or the shape of a value is not known. The loop is
            useless after that, because its body has been changed.
    """
    steps, parts, body = steps_of(loop), _needed(loop), body_of(loop)
    if steps.ends_early:
        parts.carried.append(_mask_steps(loop, parts))
    if steps.count == 0:
        raise NoRecurrenceError("it takes no step")
    parts.carried += _capture(body, parts)
    _set_interface(body, parts)
    _infer_body(model, body, fold)
    rename_made(body, name_of(loop.outputs[0]))
    lift_initializers(body, model.graph)
    _check_shapes(body, parts)
    _replace_loop(loop, steps, parts)


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


def looped(model: ir.Model, scan: ir.Node) -> ir.Node:
    """Replace a Scan that goes forward along axis 0 by a Loop that gathers each step.

        Scan(s, x; body(s, x[t]))  ->  Loop(T, , s; body(t, , s) with Gather(x, t))

    Raises:
        NoRecurrenceError: it goes along other axes, or the length is not known.
    """
    count = attribute(scan, "num_scan_inputs")
    turns = ("input_axes", "input_directions", "output_axes", "output_directions")
    body, carried = body_of(scan), carried_values(scan)
    sequences = scan.inputs[len(carried) :]
    shapes = [static_shape(value) for value in sequences]
    if any(any(attribute(scan, f"scan_{name}", ())) for name in turns) or len(shapes) != count:
        raise NoRecurrenceError("it is a Scan along an axis other than 0, or backward")
    if any(shape is None for shape in shapes):
        raise NoRecurrenceError("the length of its sequences is not known")
    step = ir.Value(name=f"{scan.outputs[0].name}.step", type=ir.TensorType(ir.DataType.INT64))
    flag = ir.Value(name=f"{scan.outputs[0].name}.going", type=_FLAG, shape=ir.Shape(()))
    step.shape = ir.Shape(())
    build = NodeBuilder(body, shapes=False)
    for value, inner in zip(sequences, list(body.inputs[len(carried) :]), strict=True):
        part = build.op("Gather", not_none(value), step, axis=0, dtype=not_none(value).dtype)
        _replace_inside(body, inner, part)
    if len(body):
        body.insert_before(body[0], build.nodes)
    entries, results = list(body.inputs[: len(carried)]), list(body.outputs)
    body.inputs.clear()
    body.inputs.extend([step, flag, *entries])
    body.outputs.clear()
    body.outputs.extend([flag, *results])
    steps = new_initializer(model.graph, np.array(shape_of(sequences[0])[0], np.int64), "steps")
    node = ir.node(
        "Loop",
        [steps, None, *scan.inputs[: len(carried)]],
        {"body": body},
        num_outputs=len(scan.outputs),
        name=scan.name,
    )
    model.graph.insert_before(scan, node)
    for old, new in zip(scan.outputs, node.outputs, strict=True):
        new.type, new.shape = old.type, old.shape
        replace_keeping_name(old, new)
    model.graph.remove(scan, safe=True)
    return node
