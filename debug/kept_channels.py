"""Make the tensors of a reference comparable with those of a graph that has fewer channels.

    reference: t = op(...)      becomes      t/whole = op(...);  t = Gather(t/whole, kept)

All ops of the reference read ``t/whole``, so its output stays the same. If the reference does not
have all channels that the graph has, ``t`` is renamed without a Gather, and is not compared.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

Channels = Mapping[str, tuple[int, ...]]
"""Channels of the original tensor, by the name of the tensor."""
_WHOLE = "/whole"


def with_kept_channels(
    reference: onnx.ModelProto, graph: onnx.ModelProto, ours: Channels, theirs: Channels
) -> onnx.ModelProto:
    """Return the reference, whose tensors have the channels that the graph has.

    Args:
        reference: the reference, whose tensors have the channels ``theirs``.
        graph: the graph that is compared with it; its tensors have the channels ``ours``.
        ours: tensors of the graph that lost channels.
        theirs: tensors of the reference that lost channels.
    """
    different = {n for n in {*ours, *theirs} if ours.get(n) != theirs.get(n)}
    produced = {name for node in reference.graph.node for name in node.output}
    changed = sorted(different & produced - {value.name for value in reference.graph.output})
    if not changed:
        return reference
    copy = onnx.ModelProto()
    copy.CopyFrom(reference)
    shapes = [_shapes(each) for each in (reference, graph)]
    _rename(copy, {name: name + _WHOLE for name in changed})
    for name in changed:
        kept = _positions(ours.get(name), theirs.get(name))
        whole, part = (each.get(name) for each in shapes)
        axis = _axis(whole, part, len(kept)) if kept is not None else None
        if axis is None:
            continue
        index = numpy_helper.from_array(np.array(kept, np.int64), f"{name}/kept")
        copy.graph.initializer.append(index)
        inputs = [name + _WHOLE, index.name]
        copy.graph.node.append(
            helper.make_node("Gather", inputs, [name], name=index.name, axis=axis)
        )
    return copy


def _positions(
    ours: tuple[int, ...] | None, theirs: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """Return where the reference has our channels; None if it does not have all of them."""
    if ours is None:  # all channels, of which the reference lost some
        return None
    if theirs is None:
        return ours
    places = {channel: place for place, channel in enumerate(theirs)}
    if not places.keys() >= set(ours):
        return None
    return tuple(places[channel] for channel in ours)


def _axis(whole: list[int] | None, part: list[int] | None, kept: int) -> int | None:
    """Return the only axis on which two shapes differ; None if there is none or they are unknown.

    A free dimension, such as the batch, has size 0 in both.
    """
    if whole is None or part is None or len(whole) != len(part):
        return None
    axes = [i for i, (one, two) in enumerate(zip(whole, part, strict=True)) if one != two]
    return axes[0] if len(axes) == 1 and part[axes[0]] == kept else None


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Return the shapes of the tensors that a graph states or that can be inferred."""
    inferred = onnx.shape_inference.infer_shapes(model)
    values = (*inferred.graph.value_info, *inferred.graph.output)
    return {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in values
        if value.type.tensor_type.HasField("shape")
    }


def _rename(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Give tensors other names, where they are written and where they are read."""
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in model.graph.value_info:
        value.name = names.get(value.name, value.name)
