"""Parallel workers: order of results, limits, exceptions, one item per worker at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from ocr_trt.pipeline.workers import in_order


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_are_in_the_order_of_the_items(count: int) -> None:
    def slow_first(worker: int, item: int) -> int:
        time.sleep(0.002 * (7 - item % 7))
        return 10 * item

    assert list(in_order(slow_first, range(count), range(30))) == [10 * i for i in range(30)]


def test_no_items_no_results() -> None:
    assert list(in_order(lambda worker, item: item, [1, 2], [])) == []


def test_workers_run_in_parallel_with_one_item_each() -> None:
    busy, peak, lock, all_here = set[int](), [0], threading.Lock(), threading.Barrier(3)

    def watched(worker: int, item: int) -> int:
        with lock:
            assert worker not in busy
            busy.add(worker)
            peak[0] = max(peak[0], len(busy))
        if item < 3:
            all_here.wait(timeout=10)
        with lock:
            busy.remove(worker)
        return item

    assert list(in_order(watched, range(3), range(40))) == list(range(40))
    assert peak[0] == 3


def test_slow_consumer_slows_the_workers_down() -> None:
    started = []

    def items() -> Iterator[int]:
        for i in range(100):
            started.append(i)
            yield i

    results = in_order(lambda worker, item: item, [1, 2], items())
    for expected in range(5):
        assert next(results) == expected
        time.sleep(0.01)
        assert len(started) <= expected + 4
    results.close()
    assert len(started) <= 9, "no more items start before results are consumed"


def test_exception_is_raised_in_the_order_of_the_items() -> None:
    def third_fails(worker: int, item: int) -> int:
        if item == 2:
            raise ValueError("item 2")
        return item

    results = in_order(third_fails, [1, 2], range(10))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="item 2"):
        next(results)
    assert list(results) == []
