"""Interleaved latency measurements of several runners; percentiles as trtexec defines them.

* A latency is the wall-clock time of one query, from passing the input to receiving the output.
* Percentile p of n sorted latencies is number ``max(n - 1 - int((1 - p / 100) * n), 0)``, computed
  in float32. Below 100 queries there is no 99th percentile.
* The median is the mean of the middle two values when n is even.
* Throughput is images per second of time in queries. (trtexec counts queries per second of wall
  time, which has no meaning if several runners share the time.)
* Warm-up queries are not counted. The measurement ends when the counted queries of every runner
  reach both the duration and the minimum number of queries.

Runners take turns, so that a change in the speed of the machine affects all of them equally. A turn
lasts a quarter of a second, or an eighth of the duration if that is less, and at least three
queries. The first query of a turn is not counted, because the other runners changed the caches.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from ..common.error_text import cause
from ..common.frozen_model import FrozenModel
from ..engines.runner import Runner
from ..errors import EngineBuildError

EQUAL = 0.02
"""Share of the time by which repeated measurements of one engine differ."""
_TURN_S = 0.25
_MIN_PER_TURN = 3
_MIN_FOR_P99 = 100


class TimingError(EngineBuildError):
    """A runner failed while it was timed. ``number``: its place among the contenders, from 0."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class LatencySettings(FrozenModel):
    """How long to measure each runner; ``iterations``: the minimum number of queries."""

    warm_up_ms: float = 200.0
    duration_s: float = 3.0
    iterations: int = 10


class LatencyStats(FrozenModel):
    """Latencies of one runner at one batch size, in milliseconds."""

    batch: int = Field(ge=1)
    queries: int = Field(ge=1)
    mean: float = Field(gt=0)
    p50: float = Field(gt=0)
    p90: float = Field(gt=0)
    p99: float | None = Field(gt=0)
    """None below 100 queries."""
    lowest: float = Field(gt=0)
    highest: float = Field(gt=0)
    variation: float = Field(ge=0)
    """Coefficient of variation, percent."""
    throughput: float = Field(gt=0)
    """Images per second."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A runner, and the input shape (N, C, H, W) that it is timed with."""

    runner: Runner
    shape: tuple[int, int, int, int]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile (0..100) of values in ascending order, as trtexec defines it."""
    count = len(ordered)
    # float32 as in trtexec: in float64, some percentiles would be the neighboring value.
    left_out = int((np.float32(1) - np.float32(percent) / np.float32(100)) * np.float32(count))
    return ordered[max(count - 1 - left_out, 0)]


def percentiles(ordered: Sequence[float]) -> dict[str, Any]:
    """Return p50, p90, p99 and the highest of values in ascending order, by field name."""
    return {
        "p50": statistics.median(ordered),
        "p90": percentile(ordered, 90),
        "p99": percentile(ordered, 99) if len(ordered) >= _MIN_FOR_P99 else None,
        "highest": ordered[-1],
    }


def stats_from_times(milliseconds: Sequence[float], batch: int) -> LatencyStats:
    """Summarize the latencies of one runner.

    Raises:
        ValueError: there are no latencies.
    """
    if not milliseconds:
        raise ValueError("no latencies were measured")
    ordered = sorted(milliseconds)
    mean = statistics.fmean(ordered)
    return LatencyStats(
        batch=batch,
        queries=len(ordered),
        mean=mean,
        lowest=ordered[0],
        **percentiles(ordered),
        variation=100 * statistics.pstdev(ordered) / mean,
        throughput=1000 * batch / mean,
    )


def _turn(runner: Runner, feed: Any, seconds: float) -> list[float]:
    runner.execute(feed)  # not counted: it refills the caches after the other runners
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _MIN_PER_TURN or time.perf_counter() < end:
        start = time.perf_counter()
        runner.execute(feed)
        times.append(1000 * (time.perf_counter() - start))
    return times


def _warm_up(runner: Runner, feed: Any, milliseconds: float) -> None:
    end = time.perf_counter() + milliseconds / 1000
    runner.execute(feed)  # at least once, even if `milliseconds` is 0
    while time.perf_counter() < end:
        runner.execute(feed)


@contextmanager
def _failures_named(contender: Contender, number: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the runtimes have no common base class of their errors
        reason = cause(str(error)) or type(error).__name__
        raise TimingError(
            f"{contender.runner.label} failed while it was timed: {reason}", number
        ) from error


def measure(
    contenders: Sequence[Contender],
    settings: LatencySettings,
    progress: Callable[[float], None] = lambda share: None,
) -> list[LatencyStats]:
    """Measure all contenders in turns on the same random images; one result per contender.

    ``progress`` receives the share of the measurement that is done, 0..1.

    Raises:
        TimingError: a runner fails.
    """
    feeds: list[Any] = []
    for number, contender in enumerate(contenders):
        with _failures_named(contender, number):
            # Prepared once: converting the input is not part of a latency.
            images = np.random.default_rng(0).uniform(-1, 1, contender.shape).astype(np.float32)
            feeds.append(contender.runner.prepare(images))
            _warm_up(contender.runner, feeds[-1], settings.warm_up_ms)
    times: list[list[float]] = [[] for _ in contenders]
    duration_ms, seconds = 1000 * settings.duration_s, min(_TURN_S, settings.duration_s / 8)
    done = 0.0
    while done < 1:
        for number, (contender, feed) in enumerate(zip(contenders, feeds, strict=True)):
            with _failures_named(contender, number):
                times[number] += _turn(contender.runner, feed, seconds)
        # The slowest contender decides: all of them take turns until it has enough queries.
        done = min(
            min(sum(own) / duration_ms if duration_ms else 1.0, len(own) / settings.iterations)
            for own in times
        )
        progress(min(1.0, done))
    return [
        stats_from_times(own, contender.shape[0])
        for own, contender in zip(times, contenders, strict=True)
    ]
