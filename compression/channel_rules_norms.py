"""How norms and recurrent layers relate channels.

Each rule returns the labels of the results, or None if it does not know the op in this form.
"""

from __future__ import annotations

import onnx_ir as ir

from ..convert.graph import attribute, constant_input, name_of
from .channel_relation import Labels, fixed_labels
from .channel_walk import Rule, Walk


def per_channel(*indices: int) -> Rule:
    """Return the rule of a norm per channel, with constants (C,) at these inputs."""

    def rule(walk: Walk, node: ir.Node) -> list[Labels] | None:
        atoms = walk.along(node.inputs[0], 1)
        if atoms is None or any(constant_input(node, index) is None for index in indices):
            return None
        for index in indices:
            walk.use(node, index, atoms)
        return [walk.labels(node.inputs[0]), *[Labels(atoms=atoms)] * (len(node.outputs) - 1)]

    return rule


def layer_norm(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Keep the channels whose statistics a LayerNormalization computes."""
    labels, rank = walk.labels(node.inputs[0]), walk.rank(node.inputs[0])
    if rank is None or len(node.outputs) > 1:
        return None
    axis = attribute(node, "axis", -1) % rank
    if any(each >= axis for each in labels.varying):
        name = name_of(node.outputs[0])
        walk.pin(labels, f"{name} (LayerNormalization) computes statistics over these channels")
    return [labels]


def recurrent(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate the input channels of an LSTM, GRU or RNN; its hidden channels stay."""
    into = walk.along(node.inputs[0], 2)
    weights = constant_input(node, 1)
    if into is None or weights is None:
        return None
    walk.use(node, 1, into.reshape(1, 1, -1))
    for value in node.inputs[2:]:
        walk.relation.pin_value(value, f"it is the state of {name_of(node.outputs[0])}")
    return [fixed_labels(walk.rank(value) or 0) for value in node.outputs]
