"""Several workers side by side, whose results come in the order of the work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

Worker = TypeVar("Worker")
Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2
"""Items per worker that are begun before the oldest result was taken."""


def in_order(
    function: Callable[[Worker, Item], Result], workers: Sequence[Worker], items: Iterable[Item]
) -> Generator[Result, None, None]:
    """Apply ``function`` to a worker and each item, a worker to one item at a time.

    Items are taken, and results kept, two per worker at most: whoever is slow with the results
    holds the workers back. An exception of an item comes where its result would.
    """
    idle: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def work(item: Item) -> Result:
        worker = idle.get()
        try:
            return function(worker, item)
        finally:
            idle.put(worker)

    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(len(workers)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) == _AHEAD * len(workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()
