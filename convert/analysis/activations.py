"""Estimate the memory that a graph needs while it runs, from the shapes of its values.

The nodes run in graph order. A value occupies memory from the node that computes it to the last
node that reads it. A view occupies none, and an op that may write into its input needs none for
its result if nothing else reads that input. Values of unknown shape count as nothing, and so does
the scratch memory of kernels: the estimate is a lower bound, except that a runtime may fuse ops.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import onnx_ir as ir

from ..graph import static_shape

_VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout"})
_SHAPES = frozenset({"Shape", "Size"})
_NEW_MEMORY = frozenset(
    {
        *("Conv", "ConvTranspose", "MatMul", "Gemm", "MaxPool", "AveragePool", "Transpose"),
        *("Resize", "Concat", "Split", "Slice", "Pad", "Gather", "GatherND", "GatherElements"),
        *("DepthToSpace", "SpaceToDepth", "LSTM", "GRU", "RNN", "Loop", "Scan", "If", "Einsum"),
    }
)
"""Ops that cannot write their result into the memory of their input, even if the sizes agree."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One op of a graph in the order in which it runs."""

    name: str
    """For messages."""
    reads: Sequence[Hashable]
    results: Mapping[Hashable, int]
    """The bytes of each result."""
    is_view: bool = False
    """Whether the first result is the first input under another shape."""
    in_place: bool = False
    """Whether a result may be written into the memory of an input of the same size."""
    inner: int = 0
    """Bytes that it needs inside, such as in the body of a function."""


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The most memory that a graph needs at once, and the op that runs then."""

    bytes: int = 0
    at: str = ""


@dataclass(kw_only=True)
class _Memory:
    """The buffers that are alive; a view has the buffer of its source."""

    sizes: dict[Hashable, int] = field(default_factory=dict)
    buffers: dict[Hashable, Hashable] = field(default_factory=dict)
    live: int = 0

    def buffer(self, value: Hashable) -> Hashable:
        return self.buffers.get(value, value)


def peak_of(steps: Sequence[Step], given: Mapping[Hashable, int], kept: Iterable[Hashable]) -> Peak:
    """Return the peak of a graph.

    Args:
        steps: its ops in graph order.
        given: the bytes of the inputs and weights, which stay alive.
        kept: the results, which stay alive too.
    """
    memory = _Memory(sizes=dict(given), live=sum(given.values()))
    for step in steps:  # views first, because reading a view reads its buffer
        if step.is_view and step.reads:
            for result in step.results:
                memory.buffers[result] = memory.buffer(step.reads[0])
    ends = {memory.buffer(v): i for i, step in enumerate(steps) for v in step.reads}
    forever = {*given, *map(memory.buffer, kept)}
    peak = Peak(bytes=memory.live, at="the input")
    for index, step in enumerate(steps):
        last = {b for b in map(memory.buffer, step.reads) if ends[b] == index} - forever
        new = {v: size for v, size in step.results.items() if v not in memory.buffers}
        freed = sum(memory.sizes.pop(each, 0) for each in last)
        reused = min(freed, sum(new.values())) if step.in_place else 0
        needed = memory.live + sum(new.values()) - reused + step.inner
        if needed > peak.bytes:
            peak = Peak(bytes=needed, at=step.name)
        memory.live += sum(new.values()) - freed
        memory.sizes.update(new)
        for value in new:
            if value not in ends and value not in forever:  # nothing reads it
                memory.live -= memory.sizes.pop(value)
    return peak


def bytes_of(value: ir.Value) -> int:
    """Return the bytes of a value; 0 if its shape or the size of its type is not known."""
    shape = static_shape(value)
    if shape is None or value.dtype in (None, ir.DataType.UNDEFINED, ir.DataType.STRING):
        return 0
    return prod(shape) * value.dtype.bitwidth // 8


def peak_of_model(model: ir.Model, copies: float = 1.0) -> Peak:
    """Return the peak of a graph whose shapes are inferred; inner graphs are not counted.

    Args:
        model: the graph.
        copies: how many times as many images it will run on as its shapes state. Values that are
            computed from the images grow by this factor; weights do not.
    """
    graph, growing = model.graph, set(model.graph.inputs)

    def size(value: ir.Value) -> int:
        return int(bytes_of(value) * (copies if value in growing else 1))

    steps = []
    for node in graph:
        if node.op_type not in _SHAPES and not growing.isdisjoint(node.inputs):
            growing.update(node.outputs)
        step = Step(
            name=f"{node.op_type} {node.name or node.outputs[0].name}",
            reads=[v for v in node.inputs if v is not None],
            results={v: size(v) for v in node.outputs},
            is_view=node.op_type in _VIEWS,
            in_place=node.op_type not in _NEW_MEMORY,
        )
        steps.append(step)
    given: dict[Hashable, int] = {v: size(v) for v in (*graph.inputs, *graph.initializers.values())}
    return peak_of(steps, given, graph.outputs)
