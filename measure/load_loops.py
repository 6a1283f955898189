"""Runs that put an engine under load; what they measure is defined in ``load``.

Requests wait in one queue, first come, first served, and as many threads as the runner has streams
take them from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from threading import Event

import numpy as np

from ..engines.base import Batch, Runner
from .load import (
    SHARES,
    ClosedLoop,
    Load,
    LoadSettings,
    OpenLoop,
    open_loop_from_times,
    poisson_arrivals,
    waits_from_seconds,
)

_LONGEST_QUEUE = 10_000
"""Requests that are due beyond these wait outside of it; they wait all the same."""


def measure_load(
    runners: Sequence[Runner],
    settings: LoadSettings,
    duration_s: float,
    progress: Callable[[float], None] = lambda share: None,
) -> list[Load]:
    """Put runners under load, one image per request; one result per runner.

    They take turns, run by run, so that a change in the machine's speed meets all of them alike.
    ``progress`` is called with the share of the runs that is done, 0..1.
    """
    rng = np.random.default_rng(0)
    images = [rng.uniform(-1, 1, (1, *r.shape)).astype(np.float32) for r in runners]
    asked = list(zip(runners, images, strict=True))
    for runner, image in asked:
        runner.run(image)  # what a runner does once is no load
    levels = len(settings.clients) + len(settings.rates or SHARES)
    closed: list[list[ClosedLoop]] = [[] for _ in runners]
    for level, clients in enumerate(settings.clients, 1):
        for (runner, image), rows in zip(asked, closed, strict=True):
            rows.append(closed_loop(runner, image, clients, duration_s))
        progress(level / levels)
    opened: list[list[OpenLoop]] = [[] for _ in runners]
    rates = [settings.rates or _rates(rows) for rows in closed]
    for level, each in enumerate(zip(*rates, strict=True), len(settings.clients) + 1):
        for (runner, image), rate, others in zip(asked, each, opened, strict=True):
            others.append(open_loop(runner, image, rate, duration_s))
        progress(level / levels)
    return [
        Load(streams=runner.streams, closed=tuple(rows), open=tuple(others))
        for runner, rows, others in zip(runners, closed, opened, strict=True)
    ]


def _rates(rows: Sequence[ClosedLoop]) -> tuple[float, ...]:
    best = max(row.throughput for row in rows)
    return tuple(float(f"{share * best:.3g}") for share in SHARES)


def closed_loop(runner: Runner, image: Batch, clients: int, duration_s: float) -> ClosedLoop:
    """Let clients ask again and again, each for the duration and at least once."""
    start, stop = time.perf_counter(), Event()
    with ThreadPoolExecutor(runner.streams) as streams, ThreadPoolExecutor(clients) as pool:

        def client() -> list[float]:
            seconds: list[float] = []
            while not stop.is_set() and (not seconds or time.perf_counter() < start + duration_s):
                sent = time.perf_counter()
                seconds.append(streams.submit(_answer, runner, image).result() - sent)
            return seconds

        asked = [pool.submit(client) for _ in range(clients)]
        try:
            seconds = [each for future in as_completed(asked) for each in future.result()]
        finally:
            stop.set()  # one client failed, or somebody wants it to end
    whole = time.perf_counter() - start
    return ClosedLoop(
        clients=clients, throughput=len(seconds) / whole, waits=waits_from_seconds(seconds)
    )


def open_loop(runner: Runner, image: Batch, rate: float, duration_s: float) -> OpenLoop:
    """Send each request when it is due; those whose turn has not come at the end are dropped."""
    due = poisson_arrivals(rate, duration_s)
    streams, sent = ThreadPoolExecutor(runner.streams), list[Future[float]]()
    start = time.perf_counter()
    end = start + duration_s
    try:
        for moment in due:
            if len(sent) >= _LONGEST_QUEUE:
                wait([sent[-_LONGEST_QUEUE]], timeout=_until(end))
            time.sleep(_until(start + moment))
            if time.perf_counter() > end:
                break
            sent.append(streams.submit(_answer, runner, image))
        wait(sent, timeout=_until(end))
        # The last ones first: streams go on taking the first ones meanwhile.
        for future in reversed(sent):
            future.cancel()
        answered = [None if each.cancelled() else each.result() - start for each in sent]
    finally:
        streams.shutdown(cancel_futures=True)
    return open_loop_from_times(rate, due, answered, duration_s, runner.streams)


def _until(moment: float) -> float:
    return max(0.0, moment - time.perf_counter())


def _answer(runner: Runner, image: Batch) -> float:
    """Run an image, and return when that was done."""
    runner.run(image)
    return time.perf_counter()
