"""Deconvolutions that ONNX' ConvTranspose cannot express.

    Conv2DBackpropInput(size, w, x)  ->  the same without padding, then Slice and Pad

tf2onnx drops explicit padding, and writes negative padding where the result is larger than what the
windows cover: with strides longer than the kernel. The same holds for three axes.
"""

from __future__ import annotations

import numpy as np

from .emitter import Emitter, Rule, Tensor


def _deconvolution(e: Emitter) -> Tensor | None:
    is_first = str(e.attribute("data_format", "N")).startswith("NC")  # channels in front
    inputs, rank = e[2].shape, e[2].rank - 2
    axes = range(2, 2 + rank) if is_first else range(1, 1 + rank)
    size = e.result_shape() or tuple(int(d) for d in e.constant_input(0, "size"))
    rates = e.attribute("dilations", [1] * (rank + 2))
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
