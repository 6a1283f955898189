"""A pool of objects, each of which serves one thread at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Pool(Generic[Item]):
    """Lends its items to threads."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._idle: SimpleQueue[Item] = SimpleQueue()
        for item in items:
            self._idle.put(item)

    @contextmanager
    def lend(self) -> Iterator[Item]:
        """Lend an item for a block; waits until one is idle."""
        item = self._idle.get()
        try:
            yield item
        finally:
            self._idle.put(item)
