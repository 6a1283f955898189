"""Give the loops that no recurrent op replaces a number of steps, known shapes and a closed body.

    Scan(s, x; body(s, x[t]))  ->  Loop(T, , s; body(t, , s) with Gather(x, t))
    Loop(limit, condition, s)  ->  Loop(T, , s)        see recurrent/closed_loops.py

Loops behind such a loop may become recurrent ops, because the shape of what they read is known.

Termination: each turn closes or replaces one loop.
"""

from __future__ import annotations

import onnx_ir as ir

from ...errors import ConversionError
from ..graph import name_of, nodes_of
from ..outcome import Outcome
from ..recurrent.closed_loops import close_loop, is_closed
from ..recurrent.loops import NoRecurrenceError
from ..recurrent.scans import loop_from_scan
from .collapse_views import collapse_views
from .fold_constants import fold_constants
from .raise_recurrent import raise_recurrent


def _simplify(body: ir.Model) -> None:
    """Simplify the body of a loop, in which shapes have just become known."""
    fold_constants(body)
    collapse_views(body)
    fold_constants(body)


def close_loops(model: ir.Model) -> Outcome:
    """Close all loops.

    Raises:
        ConversionError: a loop has no fixed number of steps, or values of unknown shapes.
    """
    changed = 0
    while True:
        left = [node for node in nodes_of(model, "Loop", "Scan") if not is_closed(node)]
        if not left:
            return Outcome(changed=changed)
        name = name_of(left[0].outputs[0])
        try:
            loop = loop_from_scan(left[0]) if left[0].op_type == "Scan" else left[0]
            close_loop(model, loop, _simplify)
        except NoRecurrenceError as reason:
            raise ConversionError(
                f"the loop at {name} cannot be converted: {reason}. Write it with a fixed number "
                "of steps, or end the model before it (output.name in the spec)"
            ) from None
        fold_constants(model)
        changed += 1 + raise_recurrent(model).changed
