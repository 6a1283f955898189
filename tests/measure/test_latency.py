from __future__ import annotations

import re
import time

import numpy as np
import pytest

from ocr_trt.engines.runner import Batch, Runner
from ocr_trt.measure.latency import (
    Contender,
    LatencySettings,
    measure,
    percentile,
    stats_from_times,
)


@pytest.mark.parametrize(
    ("count", "percent", "index"),
    [(100, 90, 89), (100, 99, 99), (100, 50, 49), (10, 90, 8), (10, 99, 9), (1, 99, 0), (3, 0, 0)],
)
def test_percentile_is_that_of_trtexec(count: int, percent: float, index: int) -> None:
    # float exclude = (1 - percent / 100) * count, cut to int; index = max(count - 1 - exclude, 0)
    assert percentile(list(range(count)), percent) == index


def test_99th_percentile_needs_100_queries() -> None:
    assert stats_from_times([1.0] * 99, batch=1).p99 is None
    assert stats_from_times([1.0] * 100, batch=1).p99 == 1.0


def test_stats() -> None:
    found = stats_from_times([4.0, 1.0, 3.0, 2.0], batch=8)
    assert (found.p50, found.mean, found.lowest, found.highest) == (2.5, 2.5, 1.0, 4.0)
    assert found.queries == 4
    assert found.throughput == pytest.approx(8 * 1000 / 2.5)
    assert found.variation == pytest.approx(100 * np.std([1, 2, 3, 4]) / 2.5)


def test_no_times_are_an_error() -> None:
    with pytest.raises(ValueError, match="no latencies"):
        stats_from_times([], batch=1)


class Sleeper(Runner):
    """A runner with a fixed time per query, which logs its turns."""

    def __init__(self, label: str, seconds: float, log: list[str]) -> None:
        super().__init__(label=label, shape=(1, 2, 2), max_batch=4)
        self.seconds, self.log = seconds, log

    def _execute(self, feed: Batch) -> np.ndarray:
        self.log.append(self.label)
        time.sleep(self.seconds)
        return feed


def test_runners_take_turns_and_the_slower_one_is_slower() -> None:
    log: list[str] = []
    fast, slow = Sleeper("f", 0.002, log), Sleeper("s", 0.006, log)
    settings = LatencySettings(warm_up_ms=5, duration_s=0.1, iterations=9)
    shares: list[float] = []
    contenders = [Contender(runner=r, shape=(2, 1, 2, 2)) for r in (fast, slow)]
    left, right = measure(contenders, settings, shares.append)
    assert left.queries > right.queries >= 9
    for stats in (left, right):
        assert stats.queries * stats.mean >= 100, "each is measured for the whole duration"
    assert left.batch == 2
    assert 1.5 < right.p50 / left.p50 < 6
    turns = "".join(log[log.index("s") :]).lstrip("s")
    assert re.match(r"(f{4,}s{4,}){3}", turns), turns
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
