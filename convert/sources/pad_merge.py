"""Let tf2onnx merge a Pad only into convolutions that do not pad.

    Conv2D(Pad(x, p), w, padding=VALID)  ->  Conv(x, w, pads=p)

Its rewriter does the same to a Conv2D with padding of its own in numbers, which are lost. A
convolution with dilation and SAME padding is of this kind, because tf2onnx replaces its
SpaceToBatchND by such numbers before. Here it keeps its Pad.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def checked_pad_merge() -> Iterator[None]:
    """Merge a Pad only into convolutions with VALID padding while the block runs."""
    from tf2onnx import tfonnx

    merge = tfonnx.rewrite_conv2d_with_pad

    def checked(graph: Any, nodes: Any) -> Any:
        merge(graph, [node for node in nodes if node.get_attr_value("padding") == b"VALID"])
        return nodes

    tfonnx.rewrite_conv2d_with_pad = checked
    try:
        yield
    finally:
        tfonnx.rewrite_conv2d_with_pad = merge
