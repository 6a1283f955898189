"""Load: what many clients get from an engine, and what requests wait that come when they like.

* A request is one image. Its latency is wall-clock time and includes any wait for the engine.
* Closed loop: each of N clients sends its next request when it has the answer to its last one.
  Throughput is answers per second of the whole run, which ends with the last answer.
* Open loop: requests are due at the times of a Poisson process of which the number of events is
  known, rate times duration: so many times, drawn uniformly by ``numpy.random.default_rng(0)``. A
  latency counts from the time at which the request was *due*, whoever held it up, so a stall is
  felt by all that were due in it. A closed loop sends nothing meanwhile, and sees one slow request:
  coordinated omission (Gil Tene, "How NOT to Measure Latency", 2013).
* An open run ends when its duration is over. A request that was begun by then is waited for; one
  whose turn never came counts with the time it had waited: where the engine cannot keep up,
  percentiles are lower bounds.
* Backlog: requests that were due and not answered when the duration was over. The engine kept up if
  they are no more than two per stream, or 5 % of those that were due.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from ..common.frozen_model import FrozenModel
from .latency import LEAST_FOR_P99, percentile

SHARES = (0.5, 0.8, 0.95)
"""Of the best throughput, at which requests come if no rates are given."""
_MOST_WAITING = 0.05


class LoadSettings(FrozenModel):
    """Which loads to measure. Each run is as long as those of latencies."""

    clients: tuple[int, ...]
    rates: tuple[float, ...] = ()
    """Requests per second; empty: ``SHARES`` of the best throughput of each system."""


class Waits(FrozenModel):
    """Latencies of requests, in milliseconds; percentiles as trtexec takes them."""

    requests: int = Field(ge=1)
    p50: float = Field(gt=0)
    p90: float = Field(gt=0)
    p99: float | None = Field(gt=0)
    """None below 100 requests."""
    highest: float = Field(gt=0)


class ClosedLoop(FrozenModel):
    """A run of so many clients, each with one request at a time."""

    clients: int = Field(ge=1)
    throughput: float = Field(gt=0)
    """Images per second."""
    waits: Waits


class OpenLoop(FrozenModel):
    """A run of requests that are due when they are due; rates are requests per second."""

    rate: float = Field(gt=0)
    """As it was asked for."""
    offered: float = Field(gt=0)
    """Of those that were due: a whole number in the duration."""
    achieved: float = Field(ge=0)
    """Of those that were answered before the duration was over."""
    backlog: int = Field(ge=0)
    """Requests that were due and not answered then."""
    kept_up: bool
    waits: Waits


class Load(FrozenModel):
    """What one system did under load, one image per request."""

    streams: int = Field(1, ge=1)
    """Requests that it runs at once."""
    closed: tuple[ClosedLoop, ...]
    open: tuple[OpenLoop, ...]


def usual_clients(cores: int) -> tuple[int, ...]:
    """Return powers of two up to the first that is at least two per core."""
    return tuple(1 << power for power in range((2 * cores - 1).bit_length() + 1))


def poisson_arrivals(rate: float, duration_s: float) -> list[float]:
    """Return when requests are due, in seconds from the start, ascending; one at least."""
    count = max(1, round(rate * duration_s))
    return sorted(np.random.default_rng(0).uniform(0, duration_s, count).tolist())


def waits_from_seconds(seconds: Sequence[float]) -> Waits:
    """Sum up the latencies of at least one request."""
    ordered = sorted(1000 * each for each in seconds)
    return Waits(
        requests=len(ordered),
        p50=statistics.median(ordered),
        p90=percentile(ordered, 90),
        p99=percentile(ordered, 99) if len(ordered) >= LEAST_FOR_P99 else None,
        highest=ordered[-1],
    )


def open_loop_from_times(
    rate: float,
    due: Sequence[float],
    answered: Sequence[float | None],
    duration_s: float,
    streams: int,
) -> OpenLoop:
    """Sum up a run of an open loop.

    Args:
        rate: of the requests, per second.
        due: when each was due, in seconds from the start.
        answered: when the first so many of them were answered; None, and the others: they never had
            their turn.
        duration_s: how long requests came.
        streams: how many the engine runs at once.
    """
    ends = [duration_s if end is None else end for end in answered]
    ends += [duration_s] * (len(due) - len(answered))
    waited = [end - start for start, end in zip(due, ends, strict=True)]
    in_time = sum(end is not None and end <= duration_s for end in answered)
    backlog = len(due) - in_time
    return OpenLoop(
        rate=rate,
        offered=len(due) / duration_s,
        achieved=in_time / duration_s,
        backlog=backlog,
        kept_up=backlog <= max(2 * streams, _MOST_WAITING * len(due)),
        waits=waits_from_seconds(waited),
    )
