"""Run workers in parallel, with results in the order of the items."""

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
"""Items per worker that are started before the oldest result is consumed."""


def in_order(
    function: Callable[[Worker, Item], Result], workers: Sequence[Worker], items: Iterable[Item]
) -> Generator[Result, None, None]:
    """Call ``function`` with a worker and each item; a worker handles one item at a time.

    At most two items per worker are in progress or wait as results, so a slow consumer slows the
    workers down. An exception of an item is raised in place of its result.
    """
    idle: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def work(item: Item) -> Result:
        worker = idle.get()  # never waits: the pool has one thread per worker
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
            # If the consumer stops early, items that were not started are dropped.
            for left in waiting:
                left.cancel()
