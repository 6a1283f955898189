"""Put engines under load in closed and open loops; see ``load`` for the definitions.

Requests wait in one first-in-first-out queue, which one thread per stream of the runner serves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from threading import Event

import numpy as np

from ..engines.runner import Batch, Runner
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

_MAX_QUEUE = 10_000
"""Limit of the requests in the queue. If it is full, requests are sent late, but their latency
still counts from the time at which they are due.
"""


def measure_load(
    runners: Sequence[Runner],
    settings: LoadSettings,
    duration_s: float,
    progress: Callable[[float], None] = lambda share: None,
) -> list[Load]:
    """Put runners under load, one image per request; one result per runner.

    Runners take turns at each level of load, so that a change in the speed of the machine affects
    all of them equally. ``progress`` receives the share of the runs that is done, 0..1.
    """
    rng = np.random.default_rng(0)
    images = [rng.uniform(-1, 1, (1, *r.shape)).astype(np.float32) for r in runners]
    loaded = list(zip(runners, images, strict=True))
    for runner, image in loaded:
        runner.run(image)  # allocation and compilation on first use are not part of the load
    levels = len(settings.clients) + len(settings.rates or SHARES)
    closed: list[list[ClosedLoop]] = [[] for _ in runners]
    for level, clients in enumerate(settings.clients, 1):
        for (runner, image), rows in zip(loaded, closed, strict=True):
            rows.append(closed_loop(runner, image, clients, duration_s))
        progress(level / levels)
    opened: list[list[OpenLoop]] = [[] for _ in runners]
    rates = [settings.rates or _rates(rows) for rows in closed]
    # zip(*rates): the n-th rate of every runner, which differ if they depend on its throughput.
    for level, each in enumerate(zip(*rates, strict=True), len(settings.clients) + 1):
        for (runner, image), rate, others in zip(loaded, each, opened, strict=True):
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
    """Let clients send requests for the duration; each client sends at least one."""
    start, stop = time.perf_counter(), Event()
    # Threads of `pool` are clients, which wait; threads of `streams` run the model.
    with ThreadPoolExecutor(runner.streams) as streams, ThreadPoolExecutor(clients) as pool:

        def client() -> list[float]:
            seconds: list[float] = []
            while not stop.is_set() and (not seconds or time.perf_counter() < start + duration_s):
                sent = time.perf_counter()
                seconds.append(streams.submit(_answer, runner, image).result() - sent)
            return seconds

        pending = [pool.submit(client) for _ in range(clients)]
        try:
            seconds = [each for future in as_completed(pending) for each in future.result()]
        finally:
            stop.set()  # after an exception of one client, the others would run on
    whole = time.perf_counter() - start
    return ClosedLoop(
        clients=clients, throughput=len(seconds) / whole, waits=waits_from_seconds(seconds)
    )


def open_loop(runner: Runner, image: Batch, rate: float, duration_s: float) -> OpenLoop:
    """Send each request when it is due; requests not started within the duration are dropped."""
    due = poisson_arrivals(rate, duration_s)
    streams, sent = ThreadPoolExecutor(runner.streams), list[Future[float]]()
    start = time.perf_counter()
    end = start + duration_s
    try:
        for moment in due:
            if len(sent) >= _MAX_QUEUE:
                # The queue is full until the request that is _MAX_QUEUE places back is answered.
                wait([sent[-_MAX_QUEUE]], timeout=_until(end))
            time.sleep(_until(start + moment))
            if time.perf_counter() > end:  # the wait for the queue took the rest of the run
                break
            sent.append(streams.submit(_answer, runner, image))
        wait(sent, timeout=_until(end))
        # From the end, because the streams still take requests from the start of the queue.
        for future in reversed(sent):
            future.cancel()
        answered = [None if each.cancelled() else each.result() - start for each in sent]
    finally:
        streams.shutdown(cancel_futures=True)
    return open_loop_from_times(rate, due, answered, duration_s, runner.streams)


def _until(moment: float) -> float:
    return max(0.0, moment - time.perf_counter())


def _answer(runner: Runner, image: Batch) -> float:
    """Run an image, and return the time at which it was done."""
    runner.run(image)
    return time.perf_counter()
