from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import numpy as np
import pytest

from ocr_trt.engines import fair_semaphore as module
from ocr_trt.engines.fair_semaphore import FairSemaphore
from ocr_trt.engines.runner import Runner


def wait_until(condition: object) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_threads_are_served_in_order_of_arrival() -> None:
    turns, served, threads = FairSemaphore(1), [], []
    turns.acquire()

    def customer(number: int) -> None:
        turns.acquire()
        served.append(number)

    for number in range(8):
        threads.append(Thread(target=customer, args=(number,)))
        threads[-1].start()
        wait_until(lambda count=number + 1: len(turns._waiting) == count)
    for number in range(8):
        assert served == [*range(number)]
        turns.release()
        threads[number].join(10)
    assert served == [*range(8)]


def test_released_place_goes_to_the_waiting_thread() -> None:
    turns = FairSemaphore(1)
    turns.acquire()
    waiting = Thread(target=turns.acquire)
    waiting.start()
    wait_until(lambda: turns._waiting)
    turns.release()
    late = Thread(target=turns.acquire, daemon=True)
    late.start()
    waiting.join(10)
    assert not waiting.is_alive()
    late.join(0.05)
    assert late.is_alive(), "its place is taken"


def test_number_of_places_is_a_limit() -> None:
    turns, inside, counts = FairSemaphore(3), [], []

    def visit(number: int) -> None:
        turns.acquire()
        inside.append(number)
        counts.append(len(inside))
        time.sleep(0.001)
        inside.remove(number)
        turns.release()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(visit, range(200)))
    assert max(counts) == 3


class Sleeper(Runner):
    def _execute(self, feed: np.ndarray) -> np.ndarray:
        time.sleep(0.005)
        return feed


def test_no_caller_of_a_runner_starves() -> None:
    image = np.zeros((1, 1, 2, 2), np.float32)

    end = time.monotonic() + 0.8

    def answers(runner: Runner) -> int:
        count = 0
        while time.monotonic() < end:
            runner.submit(image).result()
            count += 1
        return count

    with Sleeper(label="s", shape=(1, 2, 2), max_batch=1) as runner, ThreadPoolExecutor(6) as pool:
        served = list(pool.map(answers, [runner] * 6))
    assert min(served) >= 0.5 * max(served), "all come in turn"


def test_interrupted_thread_leaves_the_queue() -> None:
    """A lock that raises takes the place of Ctrl-C."""

    class Interrupted:
        def __init__(self) -> None:
            self.calls = 0

        def acquire(self) -> None:
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt

    turns = FairSemaphore(1)
    turns.acquire()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Lock", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            turns.acquire()
    turns.release()
    turns.acquire()  # would wait forever
