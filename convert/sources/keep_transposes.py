"""Keep tf2onnx from writing Transposes as Reshapes.

Its Transpose optimizer does so for Transposes that only move axes of size 1. It trusts the shapes
that it noted while it moved Transposes through the graph. Behind a layer normalization whose input
has other axes of size 1, such as height 1, they are wrong, and so are the Reshapes. The pass
``collapse_views`` removes such Transposes with the shapes of the exported graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def keeping_transposes() -> Iterator[None]:
    """Leave all Transposes that remain after the optimizer as they are while the block runs."""
    from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

    replace = TransposeOptimizer.post_optimize_action

    def nothing(self: Any) -> None:
        pass

    TransposeOptimizer.post_optimize_action = nothing
    try:
        yield
    finally:
        TransposeOptimizer.post_optimize_action = replace
