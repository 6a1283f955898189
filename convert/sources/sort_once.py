"""Keep tf2onnx from sorting a graph again after each constant that it folds.

Its optimizer of Transposes folds each Reshape of a constant, such as the weights of a depthwise
convolution, and sorts the whole graph after each of them. This takes most of the time of an export
with hundreds of them. The order after the last sort does not depend on the sorts before, so one
sort at the end gives the same nodes in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def sorting_once() -> Iterator[None]:
    """Sort a graph once behind these folds while the block runs."""
    from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

    fold = TransposeOptimizer.pre_optimize_action

    def fold_all(self: Any) -> None:
        graph, requests = self._g, list[Any]()
        graph.topological_sort = requests.append  # hides the method of the class
        try:
            fold(self)
        finally:
            del graph.topological_sort
        if requests:
            graph.topological_sort(graph.get_nodes())

    TransposeOptimizer.pre_optimize_action = fold_all
    try:
        yield
    finally:
        TransposeOptimizer.pre_optimize_action = fold
