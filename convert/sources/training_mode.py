"""Refuse a model whose batch normalizations were exported in training mode.

In training mode the layer uses the mean and the variance of the images in the batch, so that the
result for one image depends on the others. In inference mode it uses its moving averages:

    training:   y = (x - mean(x)) / sqrt(var(x) + eps)
                moving mean := m moving mean + (1 - m) mean(x);  the same for the variance
    inference:  y = (x - moving mean) / sqrt(moving variance + eps)

Keras 3 exports a model without stating the mode. Each layer then hands its own mode to all layers
behind it, and the default of preprocessing layers such as ``Resizing`` is ``training=True``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ...errors import ConversionError
from .graph_nodes import node_of
from .side_effects import ASSIGNS, layer_of, parts

_FUSED = re.compile(r"FusedBatchNorm(V\d)?")
_REDUCTIONS = ("Mean", "Sum")  # Sum: the moments of a masked batch normalization
_AVERAGING = {
    "Add", "AddV2", "Cast", "DivNoNan", "Identity", "Mean", "Mul", "RealDiv", "Reshape", "Square",
    "SquaredDifference", "Squeeze", "Sub", "Sum",
}  # fmt: skip
"""Ops between the statistics of a batch and the moving averages that they are added to."""
_VIEWS = ("Reshape", "ExpandDims")


RankOf = Callable[[str], "int | None"]
"""Returns the number of axes of a tensor; None if it is not known."""


def check_inference_mode(graph: Any, results: Sequence[str], rank_of: RankOf | None = None) -> None:
    """Refuse a GraphDef whose results depend on the statistics of a batch.

    Args:
        graph: the GraphDef, with the ops that write variables.
        results: tensor names.
        rank_of: for a frozen graph, which no longer writes the moving averages: the moments of all
            axes but that of the channels are those of a batch.

    Raises:
        ConversionError: it names the layers.
    """
    found = dict.fromkeys(
        re.sub(r"/moments$", "", layer_of(f"{caller}/{name}" if caller else name))
        for caller, nodes, needed in parts(graph, results)
        for name in (
            *_norms_in_training(nodes, needed),
            *(_frozen_moments(nodes, needed, rank_of) if rank_of and not caller else ()),
        )
    )
    if not found:
        return
    listed = ", ".join([*found][:5]) + (", ..." if len(found) > 5 else "")
    raise ConversionError(
        f"these layers were exported in training mode: {listed}. They normalize by the mean and "
        "variance of the images in the batch instead of their moving averages, so the result for "
        "an image depends on the other images. Convert the .keras or .h5 file instead, or export "
        "the model again with training=False: in Keras 3, archive = keras.export.ExportArchive(); "
        "archive.track(model); archive.add_endpoint('serve', lambda x: model(x, training=False), "
        "[keras.InputSpec(...)]); archive.write_out(path). A preprocessing layer such as Resizing "
        "inside a Keras 3 model has this effect on model.export, unless it is called with "
        "training=False"
    )


def _norms_in_training(nodes: Any, needed: list[Any]) -> Iterator[str]:
    """Yield the names of needed nodes that compute statistics of a batch for a normalization."""
    known = {node.name: node for node in nodes}
    yield from (node.name for node in needed if _is_fused(node, known))
    wanted = {node.name for node in needed}
    for node in nodes:
        if ASSIGNS.fullmatch(node.op) and len(node.input) > 1:
            for each in _averaged(known, node.input[1]):
                # A layer may keep a mean over time that it does not use itself.
                if each.name in wanted and _reduces_batch(each, known):
                    yield each.name


def _frozen_moments(nodes: Any, needed: list[Any], rank_of: RankOf) -> Iterator[str]:
    """Yield the names of variances Mean((x - Mean(x))^2) over all axes but one, batch included."""
    known = {node.name: node for node in nodes}
    for node in needed:
        square = known.get(node_of(node.input[0])) if node.op == "Mean" else None
        if square is None or square.op != "SquaredDifference" or not _reduces_batch(node, known):
            continue
        means = [known.get(node_of(name)) for name in square.input]
        means = [_behind_identity(known, each) for each in means]
        is_moment = any(
            each is not None and each.op == "Mean" and _reduces_batch(each, known) for each in means
        )
        rank = rank_of(node.input[0])
        if is_moment and rank is not None and len(_axes(node, known)) == rank - 1:
            yield node.name


def _behind_identity(known: Mapping[str, Any], node: Any) -> Any:
    while node is not None and node.op in ("Identity", "StopGradient"):
        node = known.get(node_of(node.input[0]))
    return node


def _is_fused(node: Any, known: Mapping[str, Any]) -> bool:
    """Whether a node is a fused batch normalization in training mode.

    Keras 2 computes layer normalization by the same op: it reshapes each vector to be normalized to
    a channel of one image, (1, N, C, 1), in the channels-first layout.
    """
    if not _FUSED.fullmatch(node.op) or not node.attr["is_training"].b:
        return False
    source = known.get(node_of(node.input[0]))
    is_view = source is not None and source.op in _VIEWS
    return not (is_view and node.attr["data_format"].s == b"NCHW")


def _averaged(known: Mapping[str, Any], value: str) -> Iterator[Any]:
    """Yield the reductions that a value depends on through elementwise ops only."""
    todo, seen = [node_of(value)], set[str]()
    while todo:
        node = known.get(todo.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op in _REDUCTIONS:
            yield node
        if node.op in _AVERAGING:
            todo += [node_of(name) for name in node.input if not name.startswith("^")]


def _reduces_batch(node: Any, known: Mapping[str, Any]) -> bool:
    """Whether a reduction is over the first axis, among constant axes."""
    return 0 in _axes(node, known)


def _axes(node: Any, known: Mapping[str, Any]) -> list[int]:
    """Return the constant axes of a reduction; none if they are computed."""
    from tensorflow import make_ndarray

    axes = known.get(node_of(node.input[1]))
    if axes is None or axes.op != "Const":
        return []
    return [int(axis) for axis in make_ndarray(axes.attr["value"].tensor).reshape(-1)]
