"""How ops on feature maps relate channels: pooling, Resize, Pad, DepthToSpace, unpooling, ...

Each rule returns the labels of the results, or None if it does not know the op in this form.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..convert.graph import attribute, constant, constant_input, input_of, name_of
from .channel_relation import Labels, on_axis
from .channel_rules_moves import changed
from .channel_walk import Walk


def pool(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate a pooling over the axes behind the channels; indices into a whole tensor are fixed."""
    labels = walk.labels(node.inputs[0])
    if any(axis > 1 for axis in labels.varying) or any(v.name for v in node.outputs[1:]):
        return None
    return [labels] * len(node.outputs)


def sizes_kept(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate an op that leaves the axes alone along which its result has the same size."""
    before, after = walk.sizes(node.inputs[0]), walk.sizes(node.outputs[0])
    labels = walk.labels(node.inputs[0])
    computed = any(v is not None and constant(v) is None for v in node.inputs[1:])
    if before is None or after is None or computed:
        return None
    before = (1,) * (len(after) - len(before)) + before
    labels = changed(
        labels, lambda atoms: atoms.reshape((1,) * (len(after) - atoms.ndim) + atoms.shape)
    )
    return [labels] if all(before[axis] == after[axis] for axis in labels.varying) else None


def resize(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate a Resize of other axes than that of the channels, without computed crops."""
    roi = constant_input(node, 1)
    crops = attribute(node, "coordinate_transformation_mode", b"") in (
        b"tf_crop_and_resize",
        "tf_crop_and_resize",
    )
    if (crops and (roi is None or roi.size)) or attribute(node, "axes") is not None:
        return None
    return sizes_kept(walk, node)


def pad(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate a Pad of other axes than that of the channels."""
    pads, rank = constant_input(node, 1), walk.rank(node.inputs[0])
    if pads is None or rank is None or input_of(node, 3) is not None:
        return None
    labels, sides = walk.labels(node.inputs[0]), pads.reshape(2, -1)
    return None if any(sides[:, axis].any() for axis in labels.varying) else [labels]


def depth_to_space(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """A channel of the result is made of all pixels of a block, which are channels of the input."""
    atoms, block = walk.along(node.inputs[0], 1), attribute(node, "blocksize")
    if atoms is None:
        return None
    column_first = attribute(node, "mode", "DCR") in ("DCR", b"DCR")
    # (b b C) or (C b b) -> (b b, C)
    pixels = atoms.reshape(block**2, -1) if column_first else atoms.reshape(-1, block**2).T
    reason = f"{name_of(node.outputs[0])} mixes it with fixed channels"
    walk.relation.unify(pixels, pixels[:1], reason)
    return [on_axis(pixels[0], 1, 4)]


def space_to_depth(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Each channel of the input becomes one channel for each pixel of a block: (b b C)."""
    atoms = walk.along(node.inputs[0], 1)
    return (
        None
        if atoms is None
        else [on_axis(np.tile(atoms, attribute(node, "blocksize") ** 2), 1, 4)]
    )


def unpool(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Values and places have the same channels."""
    values, places = (walk.labels(value) for value in node.inputs[:2])
    reason = f"{name_of(node.outputs[0])} unpools fixed channels"
    walk.relation.unify(values.atoms, places.atoms, reason)
    return [values]


def grid_sample(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """The channels of the map pass; those of the grid are coordinates."""
    walk.relation.pin_value(node.inputs[1], "it is a grid of places")
    return None if walk.along(node.inputs[0], 1) is None else [walk.labels(node.inputs[0])]
