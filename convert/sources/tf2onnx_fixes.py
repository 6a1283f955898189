"""The corrections of tf2onnx that hold during an export: each is a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .bias_merge import checked_bias_merge
from .consumers_only import visiting_consumers_only
from .einsum_search import bounded_einsum_search
from .keep_transposes import keeping_transposes
from .pad_merge import checked_pad_merge
from .sort_once import sorting_once


@contextmanager
def fixed_tf2onnx() -> Iterator[None]:
    """Correct and accelerate tf2onnx while the block runs."""
    with (
        bounded_einsum_search(),
        checked_bias_merge(),
        checked_pad_merge(),
        keeping_transposes(),
        sorting_once(),
        visiting_consumers_only(),
    ):
        yield
