"""Single-entry regions of a graph, and running them on numbers.

Users and exporters spell the same function in many ways. So some rules do not match spellings: they
cut out a region with one input and one output, run it in onnxruntime on numbers, and compare the
result with the function it may be. What a region *does* decides, not how it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ...common.onnx_session import onnx_session
from ..graph import constant, name_of, shape_of
from ..outcome import Outcome, Skip

Feeds = dict[str, npt.NDArray]
Meaning = TypeVar("Meaning")


@dataclass(frozen=True, kw_only=True)
class Region:
    """All nodes between ``source`` (not included) and ``result``, in graph order."""

    source: ir.Value
    result: ir.Value
    nodes: tuple[ir.Node, ...]

    @property
    def is_closed(self) -> bool:
        """Whether nothing outside reads an inner value."""
        inside = set(self.nodes)
        return all(
            user in inside
            for node in self.nodes
            for value in node.outputs
            if value is not self.result
            for user, _ in value.uses()
        ) and not any(
            value.is_graph_output()
            for node in self.nodes
            for value in node.outputs
            if value is not self.result
        )


def dynamic_inputs(node: ir.Node) -> list[ir.Value]:
    """Return the inputs of a node that are not constants."""
    return [v for v in node.inputs if v is not None and constant(v) is None]


def positions(graph: ir.Graph) -> dict[ir.Node, int]:
    """Return each node's place in the graph's (topological) order."""
    return {node: index for index, node in enumerate(graph)}


def regions_ending_at(
    root: ir.Node, order: dict[ir.Node, int], *, largest: int = 40
) -> Iterator[Region]:
    """Yield the single-entry regions that end at ``root``, smallest first.

    Walks back from the root, always past the latest node, so whenever one open value is left, it is
    the region's only entry (the root's dominators, nearest first).
    """
    open_values = dict.fromkeys(dynamic_inputs(root))
    nodes = {root}
    while open_values and len(nodes) <= largest:
        if len(open_values) == 1:
            (source,) = open_values
            inner = tuple(sorted(nodes, key=order.__getitem__))
            yield Region(source=source, result=root.outputs[0], nodes=inner)
        makers = [node for v in open_values if (node := v.producer()) is not None]
        if not makers:
            return
        latest = max(makers, key=order.__getitem__)
        nodes.add(latest)
        for value in latest.outputs:
            open_values.pop(value, None)
        open_values.update(dict.fromkeys(dynamic_inputs(latest)))


def ancestors(value: ir.Value) -> list[ir.Node]:
    """Return all nodes that a value is made by, nearest first."""
    found: dict[ir.Node, None] = {}
    todo = [value]
    for each in todo:
        node = each.producer()
        if node is not None and node not in found:
            found[node] = None
            todo += [v for v in node.inputs if v is not None]
    return list(found)


def nodes_between(
    sources: Sequence[ir.Value], result: ir.Value, order: dict[ir.Node, int]
) -> tuple[ir.Node, ...] | None:
    """Return the nodes that make ``result`` from ``sources`` and constants, in graph order.

    None when something else is needed too.
    """
    found: set[ir.Node] = set()
    todo = [result]
    while todo:
        value = todo.pop()
        if any(value is source for source in sources) or constant(value) is not None:
            continue
        node = value.producer()
        if node is None or node not in order:
            return None
        if node not in found:
            found.add(node)
            todo += [v for v in node.inputs if v is not None]
    return tuple(sorted(found, key=order.__getitem__))


def submodel(
    model: ir.Model, sources: Sequence[ir.Value], result: ir.Value, nodes: Sequence[ir.Node]
) -> onnx.ModelProto:
    """Copy ``nodes`` into a model of their own: inputs ``sources``, output ``result``."""
    entries = {id(value) for value in sources}
    constants = {
        name_of(value): array
        for node in nodes
        for value in node.inputs
        if value is not None and id(value) not in entries and (array := constant(value)) is not None
    }
    graph = onnx.helper.make_graph(
        [ir.to_proto(node) for node in nodes],
        "region",
        [_info(value) for value in sources],
        [onnx.helper.make_empty_tensor_value_info(name_of(result))],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [onnx.helper.make_opsetid(d, v) for d, v in model.graph.opset_imports.items()]
    proto = onnx.helper.make_model(graph, opset_imports=opsets)
    proto.ir_version = 10
    return proto


def _info(value: ir.Value) -> onnx.ValueInfoProto:
    assert value.dtype is not None
    return onnx.helper.make_tensor_value_info(name_of(value), value.dtype.value, shape_of(value))


def evaluate(proto: onnx.ModelProto, feeds: Feeds) -> npt.NDArray | None:
    """Run a one-output model in onnxruntime, without optimizations; None if it cannot run."""
    try:
        return np.asarray(onnx_session(proto, optimize=False).run(None, feeds)[0])
    except Exception:  # onnxruntime has no common base class; a region that cannot run is no match
        return None


def raise_each(
    model: ir.Model,
    candidates: Callable[[ir.Node, dict[ir.Node, int]], list[Region]],
    explain: Callable[[ir.Model, Region], Meaning | None],
    replace: Callable[[ir.Graph, Region, Meaning], None],
    otherwise: str,
    told: Callable[[Region], bool] = bool,
) -> Outcome:
    """Replace, for each node that has candidates, the first that is explained.

    ``candidates`` gives the regions that may end at a node, largest first;
    ``otherwise`` is the reason given for candidates of which none is, if they are to be ``told``.
    """
    order, changed, left = positions(model.graph), 0, dict[ir.Node, Region]()
    for root in reversed(list(model.graph)):
        regions = [] if root.graph is None else candidates(root, order)
        for region in regions:
            if (meaning := explain(model, region)) is not None:
                replace(model.graph, region, meaning)
                changed += 1
                break
        else:
            if regions and root not in left and told(regions[0]):
                left.update(dict.fromkeys(regions[0].nodes, regions[0]))
    return Outcome(changed=changed, skipped=_skips(left, otherwise))


def _skips(left: dict[ir.Node, Region], reason: str) -> tuple[Skip, ...]:
    """Return why regions, given by their nodes, were left; not those that are gone by now."""
    results = [node.outputs[0] for node, region in left.items() if region.nodes[-1] is node]
    return tuple(
        Skip(value=name_of(value), reason=reason)
        for value in results
        if (node := value.producer()) is not None and node.graph is not None
    )
