"""Replace a choice that is written as a sum of masked products by Where.

    c * a + (not c) * b  ->  Where(c, a, b)          c as a number: 1 where true, 0 where false

tf2onnx writes ``tf.where`` in this form. It is not only slow: in attention masks b is the lowest
float, which is -inf in FP16, and 0 * -inf is NaN. The factors c and (not c) must be Casts of a bool
value and of its Not.

Termination: each Add is visited once.
"""

from __future__ import annotations

import onnx_ir as ir

from ..graph import nodes_of, producer, remove_dead_nodes
from ..node_builder import NodeBuilder
from ..outcome import Outcome


def _masked(value: ir.Value | None) -> list[tuple[ir.Value, ir.Value]]:
    """Return (condition, other factor) for each factor of a product that is a cast bool."""
    product = producer(value, "Mul")
    found = []
    for one, other in (product.inputs, reversed(product.inputs)) if product is not None else ():
        cast = producer(one, "Cast")
        condition = cast.inputs[0] if cast is not None else None
        if condition is not None and condition.dtype == ir.DataType.BOOL and other is not None:
            found.append((condition, other))
    return found


def _choice(add: ir.Node) -> tuple[ir.Value, ir.Value, ir.Value] | None:
    """Return (condition, value if true, value if false)."""
    for one, other in (add.inputs, reversed(add.inputs)):
        for condition, chosen in _masked(one):
            for negated, rest in _masked(other):
                opposite = producer(negated, "Not")
                if opposite is not None and opposite.inputs[0] is condition:
                    return condition, chosen, rest
    return None


def raise_where(model: ir.Model) -> Outcome:
    """Replace every such sum."""
    changed = 0
    for node in nodes_of(model, "Add"):
        if (found := _choice(node)) is None:
            continue
        # Without ``dtype`` the result would get the type of the first operand, bool.
        build = NodeBuilder(model.graph)
        condition, chosen, rest = found
        build.replace([node], build.op("Where", condition, chosen, rest, dtype=chosen.dtype))
        changed += 1
    if changed:
        remove_dead_nodes(model)
    return Outcome(changed=changed)
