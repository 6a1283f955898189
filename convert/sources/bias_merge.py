"""Let tf2onnx add only real biases to convolutions.

Its Transpose optimizer rewrites Add(Transpose(Conv(x, w)), c) to Transpose(Conv(x, w, c)) if the
constant has at most one axis over 1, whichever that axis is, and if its size is the number of
channels. A constant for each row of an image with as many rows as channels would become a bias; a
scalar is an error. Here the axis must be that of the channels. Other constants stay an Add.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def checked_bias_merge() -> Iterator[None]:
    """Merge an Add into a convolution only if its constant is a bias while the block runs."""
    from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

    merge = TransposeOptimizer._add_handler

    def checked(self: Any, transpose: Any, add: Any) -> Any:
        constant = add.inputs[1]
        if constant.is_const():
            shape = constant.get_tensor_value(as_list=False).shape  # (..., C), as in NHWC
            if not shape or any(size != 1 for size in shape[:-1]):
                return self._handle_node_having_branches(transpose, add)
        return merge(self, transpose, add)

    TransposeOptimizer._add_handler = checked
    try:
        yield
    finally:
        TransposeOptimizer._add_handler = merge
