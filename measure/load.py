"""Definitions of load: throughput with many clients, and latencies of requests at random times.

* A request is one image. Its latency is wall-clock time and includes any wait for the engine.
* Closed loop: each of N clients sends its next request after the answer to its previous one.
  Throughput is answers per second of the whole run, which ends with the last answer.
* Open loop: requests are due at the times of a Poisson process with a given number of events, rate
  times duration. Such times are uniformly distributed; ``numpy.random.default_rng(0)`` draws them.
  Latency is measured from the time at which the request was *due*, so a stall delays all requests
  that are due during the stall. In a closed loop, the clients send nothing during a stall, so it
  appears as only one slow request: coordinated omission (Gil Tene, "How NOT to Measure Latency",
  2013).
* An open run ends after its duration, when requests in progress have been answered. A request that
  was not started counts with the time that it has waited, so if the engine does not keep up,
  percentiles are lower bounds.
* Backlog: requests that were due but not answered at the end of the duration. The engine kept up if
  the backlog is at most two requests per stream, or at most 5 % of the requests that were due.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from ..common.frozen_model import FrozenModel
from .latency import percentiles

SHARES = (0.5, 0.8, 0.95)
"""Default request rates, as shares of the best throughput in closed loops."""
_MAX_BACKLOG = 0.05
"""An engine kept up if at most this share of the requests due is unanswered at the end."""


class LoadSettings(FrozenModel):
    """The loads to measure. Each run has the duration of a latency measurement."""

    clients: tuple[int, ...]
    rates: tuple[float, ...] = ()
    """Requests per second; empty: ``SHARES`` of the best throughput of each system."""


class Waits(FrozenModel):
    """Latencies of requests, in milliseconds; percentiles as trtexec defines them."""

    requests: int = Field(ge=1)
    p50: float = Field(gt=0)
    p90: float = Field(gt=0)
    p99: float | None = Field(gt=0)
    """None below 100 requests."""
    highest: float = Field(gt=0)


class ClosedLoop(FrozenModel):
    """A run with a number of clients, each with one request at a time."""

    clients: int = Field(ge=1)
    throughput: float = Field(gt=0)
    """Images per second."""
    waits: Waits


class OpenLoop(FrozenModel):
    """A run of requests that are due at random times; rates are requests per second."""

    rate: float = Field(gt=0)
    """The requested rate."""
    offered: float = Field(gt=0)
    """The rate of the requests that were due. It differs from ``rate`` by rounding their number."""
    achieved: float = Field(ge=0)
    """The rate of the requests that were answered within the duration."""
    backlog: int = Field(ge=0)
    """Requests that were due but not answered within the duration."""
    kept_up: bool
    waits: Waits


class Load(FrozenModel):
    """The results of one system under load, with one image per request."""

    streams: int = Field(1, ge=1)
    """Requests that the system runs at the same time."""
    closed: tuple[ClosedLoop, ...]
    open: tuple[OpenLoop, ...]


def usual_clients(cores: int) -> tuple[int, ...]:
    """Return powers of two, up to the first that is at least twice the number of cores."""
    # (2 * cores - 1).bit_length() is the base-2 logarithm of 2 * cores, rounded up.
    return tuple(1 << power for power in range((2 * cores - 1).bit_length() + 1))


def poisson_arrivals(rate: float, duration_s: float) -> list[float]:
    """Return the times at which requests are due, at least one, in ascending seconds."""
    count = max(1, round(rate * duration_s))
    return sorted(np.random.default_rng(0).uniform(0, duration_s, count).tolist())


def waits_from_seconds(seconds: Sequence[float]) -> Waits:
    """Summarize the latencies of at least one request."""
    ordered = sorted(1000 * each for each in seconds)
    return Waits(requests=len(ordered), **percentiles(ordered))


def open_loop_from_times(
    rate: float,
    due: Sequence[float],
    answered: Sequence[float | None],
    duration_s: float,
    streams: int,
) -> OpenLoop:
    """Summarize a run of an open loop.

    Args:
        rate: the requested rate, per second.
        due: the time of each request, in seconds from the start.
        answered: the time of each answer; None for a request that was not started. Requests beyond
            the end of this list were not started, either.
        duration_s: the duration in which requests were due.
        streams: requests that the engine runs at the same time.
    """
    ends = [duration_s if end is None else end for end in answered]
    # Requests that were never started have waited until the end of the run.
    ends += [duration_s] * (len(due) - len(answered))
    waited = [end - start for start, end in zip(due, ends, strict=True)]
    in_time = sum(end is not None and end <= duration_s for end in answered)
    backlog = len(due) - in_time
    return OpenLoop(
        rate=rate,
        offered=len(due) / duration_s,
        achieved=in_time / duration_s,
        backlog=backlog,
        kept_up=backlog <= max(2 * streams, _MAX_BACKLOG * len(due)),
        waits=waits_from_seconds(waited),
    )
