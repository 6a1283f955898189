"""Deconvolutions that ONNX' ConvTranspose cannot express.

    Conv2DBackpropInput(size, w, x)  ->  the same without padding, then Slice and Pad

tf2onnx drops explicit padding, and writes negative padding where the result is larger than what the
windows cover: with strides longer than the kernel. The same holds for three axes. Where it does not
know the size of x, such as behind a loop, it writes no padding at all, which shifts the result by a
pixel. That size follows from the size n of the result, because the op is the gradient of a
convolution with stride s and windows of w pixels:

    SAME: ceil(n / s)    VALID: ceil((n - w + 1) / s)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .emitter import Emitter, Rule, Tensor, UnknownError


def _result_size(e: Emitter, axes: range) -> list[int]:
    """Return the shape of the result; -1 where the batch size is not known."""
    shape = e.graph.get_shape(e.node.output[0])
    if shape is None or any(shape[axis] < 0 for axis in axes):
        shape = [int(d) for d in e.constant_input(0, "size")]
    return list(shape)


def _state_input_size(e: Emitter, size: Sequence[int], axes: range, rates: Sequence[int]) -> None:
    """Enter the size of the image that the deconvolution enlarges, where it is not known."""
    filters, strides, kind = e[1].shape, e.attribute("strides"), e.attribute("padding")
    known = list(e.graph.get_shape(e[2].name) or [-1] * len(size))
    for number, axis in enumerate(axes):
        if known[axis] < 0 and kind in ("SAME", "VALID"):
            # The pixels at the end that no window of VALID padding starts at.
            unreached = (filters[number] - 1) * rates[axis] if kind == "VALID" else 0
            known[axis] = -(-(size[axis] - unreached) // strides[axis])
    e.graph.set_shape(e[2].name, known)


def _deconvolution(e: Emitter) -> Tensor | None:
    is_first = str(e.attribute("data_format", "N")).startswith("NC")  # channels in front
    rank = e[1].rank - 2
    axes = range(2, 2 + rank) if is_first else range(1, 1 + rank)
    rates = e.attribute("dilations", [1] * (rank + 2))
    size = _result_size(e, axes)
    _state_input_size(e, size, axes, rates)
    inputs = e.graph.get_shape(e[2].name)
    if any(inputs[axis] < 0 for axis in axes):
        raise UnknownError(f"the size of its input is not known: {inputs}; give it a fixed size")
    strides, kind = e.attribute("strides"), e.attribute("padding")
    whole, front = list(size), [0] * (rank + 2)
    for number, axis in enumerate(axes):
        window = (e[1].shape[number] - 1) * rates[axis] + 1
        whole[axis] = (inputs[axis] - 1) * strides[axis] + window
        if kind == "SAME":
            front[axis] = max(0, whole[axis] - size[axis]) // 2
        elif kind == "EXPLICIT":
            front[axis] = int(e.attribute("explicit_paddings")[2 * axis])
    if kind != "EXPLICIT" and all(w >= n for w, n in zip(whole, size, strict=True)):
        return None
    shape = e.constant(np.array(whole, np.int32))
    x = e.same_op([shape, e[1], e[2]], e[2].dtype, whole, padding="VALID")
    for axis in (a for a in axes if front[a] or size[a] < whole[a]):
        x = x.slice(axis, front[axis], front[axis] + size[axis])
    covered = (w - f for w, f in zip(whole, front, strict=True))
    missing = tuple(max(0, n - c) for n, c in zip(size, covered, strict=True))
    if any(missing):
        zero = e.constant(np.zeros((), x.dtype))
        x = e.op("Pad", x, (*[0] * len(size), *missing), zero)
    # tf2onnx passes the bias of a BiasAdd behind the op as one more input; padding gets it too.
    if len(e) <= 3:
        return x
    return x + (e[3].reshape(-1, *[1] * rank) if is_first else e[3])


RULES: dict[str, Rule] = {
    "Conv2DBackpropInput": _deconvolution,
    "Conv3DBackpropInputV2": _deconvolution,
}
