"""Run workers in parallel, with results in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ..common.pool import Pool

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
    idle = Pool(workers)

    def work(item: Item) -> Result:
        with idle.lend() as worker:  # never waits: there is one thread per worker
            return function(worker, item)

    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(len(workers)) as threads:
        try:
            for item in items:
                waiting.append(threads.submit(work, item))
                if len(waiting) == _AHEAD * len(workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # If the consumer stops early, items that were not started are dropped.
            for left in waiting:
                left.cancel()


def with_error(items: Iterable[Item]) -> Iterator[Item | Exception]:
    """Yield an exception of the iterable as its last item, after the items before it."""
    try:
        yield from items
    except Exception as error:  # the consumer raises it in its place
        yield error
