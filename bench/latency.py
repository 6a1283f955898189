"""Latencies of several runners, interleaved, with the definitions of trtexec.

* A latency is the time of one query from handing over the input to having the output, wall clock.
* Percentile p of n sorted latencies is number ``max(n - 1 - int((1 - p / 100) * n), 0)``.
* The median is the mean of the middle two when n is even.
* Throughput is queries per second of time spent in queries, times the batch size.
* Warm-up queries are not counted; measuring goes on until both the duration and the least number of
  queries are reached.

Runners take turns, so that a change in the machine's speed meets all of them alike. In each turn
the first query is not counted: it would pay for what the others left in the caches.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from ..engines.backends.base import Runner

_COUNTED_PER_TURN = 3


class LatencySettings(BaseModel):
    """How long to measure each runner."""

    model_config = ConfigDict(frozen=True)

    warm_up_ms: float = 200.0
    duration_s: float = 3.0
    iterations: int = 10


class LatencyStats(BaseModel):
    """Latencies of one runner at one batch size, in milliseconds."""

    model_config = ConfigDict(frozen=True)

    batch: int
    queries: int
    mean: float
    p50: float
    p90: float
    p99: float
    lowest: float
    highest: float
    variation: float
    """Coefficient of variation, percent."""
    throughput: float
    """Pictures per second."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A runner, and the input shape (N, C, H, W) it is timed with."""

    runner: Runner
    shape: tuple[int, int, int, int]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of sorted values, as trtexec defines it."""
    count = len(ordered)
    return ordered[max(count - 1 - int((1 - percent / 100) * count), 0)]


def stats_from_times(milliseconds: Sequence[float], batch: int) -> LatencyStats:
    """Sum up the latencies of one runner.

    Raises:
        ValueError: there are none.
    """
    if not milliseconds:
        raise ValueError("no latencies were measured")
    ordered = sorted(milliseconds)
    mean = statistics.fmean(ordered)
    return LatencyStats(
        batch=batch,
        queries=len(ordered),
        mean=mean,
        p50=statistics.median(ordered),
        p90=percentile(ordered, 90),
        p99=percentile(ordered, 99),
        lowest=ordered[0],
        highest=ordered[-1],
        variation=100 * statistics.pstdev(ordered) / mean,
        throughput=1000 * batch / mean,
    )


def _turn(runner: Runner, feed: Any, times: list[float]) -> None:
    for number in range(1 + _COUNTED_PER_TURN):
        start = time.perf_counter()
        runner.execute(feed)
        if number:
            times.append(1000 * (time.perf_counter() - start))


def _warm_up(runner: Runner, feed: Any, milliseconds: float) -> None:
    end = time.perf_counter() + milliseconds / 1000
    runner.execute(feed)
    while time.perf_counter() < end:
        runner.execute(feed)


def measure(
    contenders: Sequence[Contender],
    settings: LatencySettings,
    progress: Callable[[float], None] = lambda share: None,
) -> list[LatencyStats]:
    """Measure all contenders in turns, on the same random pictures; one result per contender.

    ``progress`` is called with the share of the measuring that is done, 0..1.
    """
    rng = np.random.default_rng(0)
    feeds = [c.runner.prepare(rng.uniform(-1, 1, c.shape).astype(np.float32)) for c in contenders]
    for contender, feed in zip(contenders, feeds, strict=True):
        _warm_up(contender.runner, feed, settings.warm_up_ms)
    times: list[list[float]] = [[] for _ in contenders]
    start, total = time.perf_counter(), settings.duration_s * len(contenders)
    while True:
        for contender, feed, own in zip(contenders, feeds, times, strict=True):
            _turn(contender.runner, feed, own)
        spent = time.perf_counter() - start
        progress(min(1.0, spent / total) if total else 1.0)
        if spent >= total and min(map(len, times)) >= settings.iterations:
            break
    return [
        stats_from_times(own, contender.shape[0])
        for own, contender in zip(times, contenders, strict=True)
    ]
