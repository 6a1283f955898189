"""Compare a graph with its model while both make the same decisions at ties.

An argmax, a comparison or a rounding turns a difference of 1e-7 into another result. Therefore the
inputs of these ops are taken from the model: every value of the graph that equals such an input,
except for rounding, is replaced by the model's own array. The nodes behind it then decide as the
model does, and the rest of the graph can be compared within the usual tolerance. All parts of the
graph are compared: up to each of these values, and from there to the output.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt
import onnx

from ..common.inner_tensors import Probe
from ..common.onnx_session import onnx_session

Array = npt.NDArray[np.float32]
_MORE = 2.0
"""How much more an engine may differ than the graph; both numbers vary from image to image."""


@dataclass(frozen=True, kw_only=True)
class Ties:
    """By how much a converted graph differs from its model because of ties only.

    An engine cannot be run with the model's decisions. It may break ties in any way, so it may
    differ in about as many places and by about as much.
    """

    share: float
    """Share of the output that differs by more than ``accuracy.max_difference``."""
    largest: float
    """The largest absolute difference."""

    def explain(self, difference: Array, limit: float) -> bool:
        """Whether ties explain the difference of an engine of the same model."""
        share, largest = float((difference > limit).mean()), float(difference.max())
        return share <= _MORE * self.share and largest <= _MORE * self.largest


class _ForcedGraph:
    """A graph at batch 1 in which the arrays of ``forced`` replace computed values."""

    def __init__(self, graph: onnx.ModelProto, image: Array) -> None:
        self.image, self.forced = image, dict[str, Array]()
        self.model = onnx.ModelProto()
        self.model.CopyFrom(graph)
        self.input, self.output = graph.graph.input[0].name, graph.graph.output[0].name
        typed = (*graph.graph.value_info, *graph.graph.output)
        self.shapes = {value.name: list(_shape(value)) for value in typed if _is_float(value)}

    def force(self, name: str, array: Array) -> None:
        """Let every reader of a value read ``array`` in its place."""
        given = f"{name}_forced"
        for node in self.model.graph.node:
            node.input[:] = [given if each == name else each for each in node.input]
        info = onnx.helper.make_tensor_value_info
        self.model.graph.input.append(info(given, onnx.TensorProto.FLOAT, array.shape))
        self.forced[name] = array

    def run(self, names: Iterable[str]) -> dict[str, Array]:
        """Compute values of the graph."""
        probe, names = Probe(self.model), list(names)
        for name in names:
            probe.output(name)
        given = {f"{name}_forced": array for name, array in self.forced.items()}
        session = onnx_session(probe.model, optimize=False)
        results = session.run(names, {self.input: self.image, **given})
        return dict(zip(names, results, strict=True))

    def candidates(self, array: Array) -> list[str]:
        """Return the values, in graph order, that have the sizes of ``array`` in any order."""
        sizes = sorted(size for size in array.shape if size != 1)
        return [
            name
            for name, shape in self.shapes.items()
            if name not in self.forced and sorted(size for size in shape if size != 1) == sizes
        ]


def _is_float(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def _shape(value: onnx.ValueInfoProto) -> Iterator[int]:
    for dimension in value.type.tensor_type.shape.dim:
        # Free axes hold the batch, which is 1 here, or a multiple of it, such as "8N".
        text = dimension.dim_param
        yield int(text.rstrip("N") or 1) if text else dimension.dim_value


def _in_layout(array: Array, like: Array, limit: float) -> Array | None:
    """Return ``array`` with its axes ordered as in ``like``; None if the two differ."""
    tolerance = limit * max(1.0, float(np.abs(array).max(initial=0.0)))
    for perm in permutations(range(array.ndim)):
        moved = array.transpose(perm)
        squeezed = [size for size in moved.shape if size != 1]
        if squeezed == [size for size in like.shape if size != 1]:
            moved = moved.reshape(like.shape)
            if np.abs(moved - like).max(initial=0.0) <= tolerance:
                return np.ascontiguousarray(moved)
    return None


def _force_next(graph: _ForcedGraph, inputs: dict[str, Array], limit: float) -> str | None:
    """Force one value that equals one of ``inputs``; return the name of the latter."""
    for name, array in inputs.items():
        candidates = graph.candidates(array)
        if not candidates:
            continue
        for value, computed in graph.run(candidates).items():
            if (moved := _in_layout(array, computed, limit)) is not None:
                graph.force(value, moved)
                return name
    return None


def difference_without_ties(
    graph: onnx.ModelProto, image: Array, inputs: dict[str, Array], output: Array, limit: float
) -> float | None:
    """Return the largest difference between a graph and a model that decide alike.

    Args:
        graph: the converted graph.
        image: (1, C, H, W).
        inputs: the inputs of the model's discontinuous ops, in any layout.
        output: the model's output in the same run, in the layout of the graph.
        limit: tolerance for the inner values, relative to the largest number of a tensor above 1.

    Returns:
        None if the graph has no value that equals one of the inputs.
    """
    forced, left = _ForcedGraph(graph, image), dict(inputs)
    # A value can only be found once all decisions in front of it are those of the model.
    while (name := _force_next(forced, left, limit)) is not None:
        del left[name]
    if not forced.forced:
        return None
    result = forced.run([forced.output])[forced.output]
    return float(np.abs(result - output).max())
