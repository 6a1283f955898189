"""Give the results of loops the element types that their bodies compute.

    Loop(.., int64 s) -> int32 s'      ->   Loop(.., int64 s) -> int64 s'

tf2onnx widens the counters of TensorFlow's loops to int64, and declares the results as int32.

ONNX' inference ends at a loop with such a declaration, so that the types behind it are unknown. It
runs again until the types that all loops read are known.

Termination: at most one turn per loop, because each turn settles one more of them.
"""

from __future__ import annotations

import onnx_ir as ir

from ...common.onnx_shapes import infer_shapes
from ..graph import nodes_of
from ..outcome import Outcome
from ..recurrent.loops import body_of, carried_values


def settle_loop_types(model: ir.Model) -> Outcome:
    """Set the types of all results of Loops."""
    loops, changed = nodes_of(model, "Loop"), 0
    for _ in loops:
        changed += sum(map(_settled, loops))
        if all(value is None or value.type is not None for loop in loops for value in _ends(loop)):
            break
        infer_shapes(model)
    return Outcome(changed=changed)


def _ends(loop: ir.Node) -> list[ir.Value | None]:
    """Return the values that a loop reads, and those that its body returns."""
    return [*loop.inputs, *body_of(loop).outputs]


def _settled(loop: ir.Node) -> int:
    """Set the types of the results of a loop where they are known; return how many changed."""
    changed, carried = 0, carried_values(loop)
    for start, inside, after, final in carried:
        type_ = (start.type if start is not None else None) or after.type
        for value in (inside, after, final) if type_ is not None else ():
            changed += value.type != type_
            value.type = type_
    stacked = zip(
        body_of(loop).outputs[1 + len(carried) :], loop.outputs[len(carried) :], strict=True
    )
    for value, out in stacked:
        if value.type is not None and out.type != value.type:
            out.type = value.type
            changed += 1
    return changed
