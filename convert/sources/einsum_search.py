"""Bound the time that tf2onnx spends on an einsum.

tf2onnx renames the letters of each equation in every order, and keeps the order with the cheapest
Transposes. That is 120 orders for the five letters of an attention over a sequence, and 5,040 for
the seven letters of an attention over rows and columns: minutes. All orders compute the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_MOST_LETTERS = 5


@contextmanager
def bounded_einsum_search() -> Iterator[None]:
    """Keep the letters of long equations as they are while the block runs."""
    from tf2onnx.optimizer import einsum_optimizer

    def orders(letters: Sequence[str]) -> Iterator[tuple[str, ...]]:
        if len(letters) > _MOST_LETTERS:
            return iter(())  # tf2onnx itself tries the given order first
        return itertools.permutations(letters)

    before = einsum_optimizer.permutations
    einsum_optimizer.permutations = orders
    try:
        yield
    finally:
        einsum_optimizer.permutations = before
