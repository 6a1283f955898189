"""StridedSlice at a computed place: x[:, k] in the step k of a loop.

    x[a:b, k]  ->  Gather(Slice(x, a, b), k)

tf2onnx writes it as a Slice whose bounds are computed for all axes. The shape of the result is then
not known, so that a loop around it cannot be closed, and its batch cannot be freed.
"""

from __future__ import annotations

import numpy as np

from .emitter import Emitter, Rule, Tensor

_VIEWS = ("Cast", "Identity")
_NEWER_MASKS = ("ellipsis_mask", "new_axis_mask")
_END = np.iinfo(np.int64).max


def _elements(value: Tensor) -> list[int | Tensor] | None:
    """Return the elements of a vector, each a number or a scalar; None if it is computed whole."""
    emit = value.emit
    if (array := value.value) is not None:
        return [int(each) for each in np.ravel(array)]
    node = emit.graph.get_node_by_output(value.name)
    if node is None:
        return None
    parts = [Tensor(emit, name) for name in node.input]
    if node.type in _VIEWS:
        return _elements(parts[0])
    is_scalar = node.type == "Unsqueeze" and emit.graph.get_shape(parts[0].name) == []
    if node.type == "Pack" or is_scalar:
        scalars = parts[:1] if is_scalar else parts  # the second input of Unsqueeze is its axes
        return [each if each.value is None else int(each.value) for each in scalars]
    if node.type == "Concat":
        found = list[int | Tensor]()
        for part in parts:
            if (own := _elements(part)) is None:
                return None
            found += own
        return found
    return None


def _strided_slice(e: Emitter) -> Tensor | None:
    masks = {name: e.attribute(f"{name}_mask", 0) for name in ("begin", "end", "shrink_axis")}
    begins, ends, steps = (_elements(e[index]) for index in (1, 2, 3))
    if any(e.attribute(name, 0) for name in _NEWER_MASKS) or begins is None or steps is None:
        return None
    if all(isinstance(begin, int) for begin in begins) or any(step != 1 for step in steps):
        return None
    x, indices = e[0], dict[int, int | Tensor]()
    for axis, begin in enumerate(begins):
        has = {name: bool(mask >> axis & 1) for name, mask in masks.items()}
        if has["shrink_axis"]:
            indices[axis] = begin
            continue
        end = _END if has["end"] or ends is None else ends[axis]
        begin = 0 if has["begin"] else begin
        if not (has["end"] or ends) or not isinstance(begin, int) or not isinstance(end, int):
            return None
        if (begin, end) != (0, _END):
            x = x.slice(axis, begin, end)
    # From the last axis on, because each Gather drops its axis.
    for axis, index in reversed(indices.items()):
        scalar = e.constant(np.array(index, np.int64)) if isinstance(index, int) else index
        x = x.take(scalar, axis)
    return x


RULES: dict[str, Rule] = {"StridedSlice": _strided_slice}
