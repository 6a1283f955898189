"""Cut single-entry regions out of a graph, and recognize them by what they compute.

Users and exporters write the same function in many ways, so patterns of nodes would miss most of
them. Some rules therefore cut out a region with one input and one output, run it in onnxruntime on
test numbers, and compare the result with that of a known function (docs/decisions/0002).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ...common.onnx_session import onnx_session
from ..graph import constant, name_of, shape_of
from ..outcome import Outcome, Skip

Feeds = dict[str, npt.NDArray]
Meaning = TypeVar("Meaning")

_ONE_THREAD = 1 << 16
"""The most numbers at the inputs of a region that runs in one thread."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """The nodes that compute ``result`` from ``source`` and constants, in graph order."""

    source: ir.Value
    result: ir.Value
    nodes: tuple[ir.Node, ...]

    @property
    def is_closed(self) -> bool:
        """Whether nothing outside reads an inner value."""
        inside = set(self.nodes)
        inner = [v for node in self.nodes for v in node.outputs if v is not self.result]
        return not any(
            value.is_graph_output() or any(user not in inside for user, _ in value.uses())
            for value in inner
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

    The walk starts at the root and always adds the producer that is last in graph order. Whenever a
    single open value is left, it is the region's only entry: a dominator of the root.
    """
    # Values that the region needs and does not compute; a dict keeps their order.
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
        # Not all of its outputs: a Split has thousands, and a root behind each.
        for value in [v for v in open_values if v.producer() is latest]:
            del open_values[value]
        open_values.update(dict.fromkeys(dynamic_inputs(latest)))


def ancestors(values: Sequence[ir.Value], until: Collection[ir.Value] = ()) -> list[ir.Node]:
    """Return all nodes that values depend on, nearest first; the search stops at ``until``."""
    found: dict[ir.Node, None] = {}
    todo = list(values)
    for each in todo:
        node = each.producer()
        if node is not None and node not in found and each not in until:
            found[node] = None
            todo += [v for v in node.inputs if v is not None]
    return list(found)


def nodes_between(
    sources: Sequence[ir.Value], result: ir.Value, order: dict[ir.Node, int]
) -> tuple[ir.Node, ...] | None:
    """Return the nodes that compute ``result`` from ``sources`` and constants, in graph order.

    None if the result depends on anything else.
    """
    found: set[ir.Node] = set()
    todo = [result]
    while todo:
        value = todo.pop()
        if value in sources or constant(value) is not None:
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
    constants = {
        name_of(value): array
        for node in nodes
        for value in node.inputs
        if value not in sources and (array := constant(value)) is not None
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
    # The IR version of the graphs in ``pipeline``; onnxruntime may refuse the newest one.
    proto.ir_version = 10
    return proto


def _info(value: ir.Value) -> onnx.ValueInfoProto:
    assert value.dtype is not None
    return onnx.helper.make_tensor_value_info(name_of(value), value.dtype.value, shape_of(value))


def evaluate(proto: onnx.ModelProto, feeds: Feeds) -> npt.NDArray | None:
    """Run a one-output model in onnxruntime, without optimizations; None if it cannot run."""
    # A graph has thousands of regions, and starting threads takes longer than a small one runs.
    threads = 1 if sum(array.size for array in feeds.values()) <= _ONE_THREAD else 0
    try:
        return np.asarray(onnx_session(proto, threads=threads, optimize=False).run(None, feeds)[0])
    except Exception:  # onnxruntime has no common base class; a region that cannot run is no match
        return None


@dataclass(frozen=True, kw_only=True)
class RegionRule(Generic[Meaning]):
    """How a pass recognizes and replaces regions. ``Meaning`` describes what a region computes."""

    largest: int
    """The largest number of nodes in a region."""
    allows: Callable[[ir.Node], bool]
    """Whether a node may be in a region."""
    fits: Callable[[Region], bool]
    """Whether a region is worth running."""
    explain: Callable[[ir.Model, Region], Meaning | None]
    """Runs a region; returns what it computes, or None if no rule knows that function."""
    replace: Callable[[ir.Graph, Region, Meaning], None]
    """Replaces an explained region."""
    otherwise: str = ""
    """The reason to report for a region that fits but is not explained."""
    is_reported: Callable[[Region], bool] = bool
    """Whether to report such a region."""

    def candidates(self, root: ir.Node, order: dict[ir.Node, int]) -> list[Region]:
        """Return the closed regions that end at ``root`` and fit, largest first."""
        found = list[Region]()
        for region in regions_ending_at(root, order, largest=self.largest):
            if not all(map(self.allows, region.nodes)):
                break  # larger regions contain this node too
            if self.fits(region) and region.is_closed:
                found.append(region)
        return found[::-1]


def raise_regions(model: ir.Model, rule: RegionRule[Meaning]) -> Outcome:
    """Replace the largest explained candidate that ends at each node."""
    order, changed, left = positions(model.graph), 0, dict[ir.Node, Region]()
    for root in reversed(list(model.graph)):  # from the outputs on, so that regions are seen whole
        regions = [] if root.graph is None else rule.candidates(root, order)
        for region in regions:
            if (meaning := rule.explain(model, region)) is not None:
                rule.replace(model.graph, region, meaning)
                changed += 1
                break
        else:
            # Candidates contain each other; report the largest one only.
            if regions and root not in left and rule.is_reported(regions[0]):
                left.update(dict.fromkeys(regions[0].nodes, regions[0]))
    return Outcome(changed=changed, skipped=_skips(left, rule.otherwise))


def _skips(left: dict[ir.Node, Region], reason: str) -> tuple[Skip, ...]:
    """Report the regions that are still in the graph; ``left`` maps each node to its region."""
    results = [node.outputs[0] for node, region in left.items() if region.nodes[-1] is node]
    return tuple(
        Skip(value=name_of(value), reason=reason)
        for value in results
        if (node := value.producer()) is not None and node.graph is not None
    )
