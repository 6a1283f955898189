"""Give the results of loops the element types that their bodies compute.

    Loop(.., int64 s) -> int32 s'      ->   Loop(.., int64 s) -> int64 s'

tf2onnx widens the counters of TensorFlow's loops to int64, and declares the results as int32.

Termination: each value is set once.
"""

from __future__ import annotations

import onnx_ir as ir

from ..graph import nodes_of
from ..outcome import Outcome
from ..recurrent.loops import body_of, carried_values


def settle_loop_types(model: ir.Model) -> Outcome:
    """Set the types of all results of Loops."""
    changed = 0
    for loop in nodes_of(model, "Loop"):
        carried = carried_values(loop)
        for start, inside, after, final in carried:
            type_ = start.type if start is not None else after.type
            for value in (inside, after, final):
                changed += value.type != type_
                value.type = type_
        stacked = zip(
            body_of(loop).outputs[1 + len(carried) :], loop.outputs[len(carried) :], strict=True
        )
        for value, out in stacked:
            if value.type is not None and out.type != value.type:
                out.type = value.type
                changed += 1
    return Outcome(changed=changed)
