"""Turn the lowered loops of TensorFlow 2 in a frozen graph into While ops again.

    Enter, Merge, LoopCond, Switch, body, NextIteration, Exit   ->   While(condition, body)

``convert_variables_to_constants_v2`` lowers loops unless ``lower_control_flow=False`` is given.
tf2onnx converts lowered loops over TensorArrays, which TensorFlow 1 writes, but not those over
TensorLists, which TensorFlow 2 writes.

All Enter nodes of a loop have the same frame name. A carried value goes through Enter, Merge and
Switch; output 1 of the Switch leads into the body, and output 0 to Exit. An Enter that no Merge
reads passes a value that never changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_LISTS = {"TensorListReserve", "EmptyTensorList", "TensorListFromTensor"}


def has_lowered_loops(graph: Any) -> bool:
    """Whether a GraphDef contains lowered loops over TensorLists."""
    ops = {node.op for node in graph.node}
    return "Enter" in ops and not ops.isdisjoint(_LISTS)


def raise_loops(graph: Any, entry: Any, result: str) -> Any:
    """Return the function from an image to the result of a graph, with While ops.

    Args:
        graph: a GraphDef with lowered loops.
        entry: its placeholder, a TensorSpec with the name of the node.
        result: the name of a tensor.

    Raises:
        ValueError: the nodes of a loop are not arranged as TensorFlow arranges them.
    """
    import tensorflow as tf

    raised = _Raised(graph)

    def function(image: Any) -> Any:
        known = {_port(entry.name): image}
        (value,) = raised.compute([result], known)
        return tf.identity(value)

    return tf.function(function, autograph=False).get_concrete_function(entry)


Known = dict[str, Any]
"""Name of a tensor in the GraphDef -> the tensor in the new graph."""


@dataclass(frozen=True, kw_only=True)
class _Carried:
    """Names of the tensors of a value that changes from step to step."""

    start: str
    """Before the first step, outside of the loop."""
    merge: str
    """Before a step, as the condition reads it."""
    inside: str
    """Before a step, as the body reads it."""
    after: str
    """After a step."""


@dataclass(frozen=True, kw_only=True)
class _Loop:
    """One lowered loop."""

    carried: tuple[_Carried, ...]
    condition: str
    fixed: dict[str, str]
    """Tensor in the loop that never changes -> the tensor outside. They are no carried values:
    tf2onnx requires that TensorLists that a loop reads come after those that it writes."""
    exits: dict[str, int]
    """Exit node -> the index of its carried value."""
    unchanged: dict[str, str]
    """Exit node -> the tensor outside that it returns."""


class _Raised:
    """Builds tensors of a GraphDef in the current graph."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._nodes = {node.name: node for node in graph.node}
        self._frames = {
            node.name: node.attr["frame_name"].s for node in graph.node if node.op == "Enter"
        }
        self._readers = {
            (_node(each), node.op): node.name
            for node in graph.node
            for each in node.input
            if node.op in ("Merge", "Switch")
        }

    def compute(self, names: Sequence[str], known: Known) -> list[Any]:
        """Return tensors, and add everything that is built to ``known``."""
        names = [_port(name) for name in names]
        # A loop that another one reads is built when the starts of the other one are computed.
        for exit_ in self._exits_above(names, known):
            if f"{exit_}:0" not in known:
                self._run(self._loop_of(exit_), known)
        self._copy(names, known)
        return [known[name] for name in names]

    def _above(self, names: Sequence[str], known: Known) -> dict[str, None]:
        """Return the nodes that lead to tensors and are not known, results first."""
        found = dict.fromkeys(_node(name) for name in names if name not in known)
        todo = list(found)
        for name in todo:  # the loop appends to the list
            if self._nodes[name].op == "Exit":
                continue  # what leads to it belongs to a loop
            ports = [_port(each) for each in self._nodes[name].input if each[0] != "^"]
            new = dict.fromkeys(_node(p) for p in ports if p not in known)
            todo += [each for each in new if each not in found]
            found.update(new)
        return found

    def _exits_above(self, names: Sequence[str], known: Known) -> list[str]:
        """Return the Exit nodes of the loops that lead to tensors."""
        return [name for name in self._above(names, known) if self._nodes[name].op == "Exit"]

    def _copy(self, names: Sequence[str], known: Known) -> None:
        """Import the nodes that lead to tensors, without those that are known."""
        from tensorflow.compat import v1

        above = self._above(names, known)
        part, feeds = v1.GraphDef(), Known()
        part.versions.CopyFrom(self._graph.versions)
        part.library.CopyFrom(self._graph.library)
        for name in above:
            node = part.node.add()
            node.CopyFrom(self._nodes[name])
            node.input[:] = [each for each in node.input if each[0] != "^"]
            feeds |= {each: known[_port(each)] for each in node.input if _port(each) in known}
        if not part.node:
            return
        results = v1.import_graph_def(part, feeds, return_elements=list(above), name="")
        for name, operation in zip(above, results, strict=True):
            known.update((f"{name}:{i}", tensor) for i, tensor in enumerate(operation.outputs))

    def _run(self, loop: _Loop, known: Known) -> None:
        """Build a loop, and add what its Exit nodes return to ``known``."""
        import tensorflow as tf

        starts = self.compute([each.start for each in loop.carried], known)
        outside = self.compute([*loop.fixed.values(), *loop.unchanged.values()], known)

        def inside(names: Sequence[str], values: Sequence[Any]) -> Known:
            # An Identity captures a tensor of the outer graph, which import_graph_def does not.
            fixed = {
                name: tf.identity(value) for name, value in zip(loop.fixed, outside, strict=False)
            }
            return {**fixed, **dict(zip(names, values, strict=True))}

        def condition(*values: Any) -> Any:
            names = [each.merge for each in loop.carried]
            return self.compute([loop.condition], inside(names, values))[0]

        def body(*values: Any) -> list[Any]:
            names = [each.inside for each in loop.carried]
            after = self.compute([each.after for each in loop.carried], inside(names, values))
            for value, start in zip(after, starts, strict=True):
                # The elements of a TensorList have open shapes, and so has what reads them.
                value.set_shape(start.shape)
            return after

        finals = tf.while_loop(condition, body, starts)
        known.update((f"{name}:0", finals[index]) for name, index in loop.exits.items())
        last = outside[len(loop.fixed) :]
        known.update((f"{name}:0", value) for name, value in zip(loop.unchanged, last, strict=True))

    def _loop_of(self, exit_: str) -> _Loop:
        """Return the loop that an Exit node belongs to."""
        last = self._input(exit_, "Switch")
        enter = self._input(self._input(last, "Merge"), "Enter")
        frame = [name for name, value in self._frames.items() if value == self._frames[enter]]
        carried, fixed = list[_Carried](), dict[str, str]()
        for name in frame:
            start, merge = self._nodes[name].input[0], self._reader(name, "Merge")
            if not merge:
                fixed[f"{name}:0"] = start
                continue
            # A value that only the condition reads has no Switch.
            switch = self._reader(merge, "Switch")
            inside = f"{switch}:1" if switch else f"{merge}:0"
            after = self._nodes[self._input(merge, "NextIteration")].input[0]
            if self._itself(after) == inside:
                fixed |= {f"{merge}:0": start, inside: start, f"{switch}:0": start}
                continue
            value = _Carried(start=start, merge=f"{merge}:0", inside=inside, after=after)
            carried.append(value)
        order = {each.inside.split(":")[0]: index for index, each in enumerate(carried)}
        exits = [(n.name, n.input[0]) for n in self._graph.node if n.op == "Exit"]
        return _Loop(
            carried=tuple(carried),
            condition=self._nodes[self._input(last, "LoopCond")].input[0],
            fixed=fixed,
            exits={name: order[_node(port)] for name, port in exits if _node(port) in order},
            unchanged={name: fixed[_port(port)] for name, port in exits if _port(port) in fixed},
        )

    def _itself(self, name: str) -> str:
        """Return what Identity nodes pass on."""
        while self._nodes[_node(name)].op == "Identity":
            name = self._nodes[_node(name)].input[0]
        return _port(name)

    def _input(self, name: str, op: str) -> str:
        """Return the one node of a type that a node reads."""
        nodes = [_node(each) for each in self._nodes[name].input if each[0] != "^"]
        found = [node for node in nodes if self._nodes[node].op == op]
        if len(found) != 1:
            raise ValueError(f"{self._nodes[name].op} {name} reads {len(found)} {op}, expected 1")
        return found[0]

    def _reader(self, name: str, op: str) -> str:
        """Return the node of a type that reads a node; "" if there is none."""
        return self._readers.get((name, op), "")


def _port(name: str) -> str:
    """Return the full name of a tensor: "x:0" for "x"."""
    return name if ":" in name else f"{name}:0"


def _node(name: str) -> str:
    return name.split(":")[0]
