"""Load: the times at which requests are due, their latencies, and stalls."""

from __future__ import annotations

import time
from threading import Lock

import numpy as np
import pytest

from ocr_trt.engines.runner import Batch, Runner
from ocr_trt.measure.load import (
    SHARES,
    LoadSettings,
    open_loop_from_times,
    poisson_arrivals,
    usual_clients,
    waits_from_seconds,
)
from ocr_trt.measure.load_loops import closed_loop, measure_load, open_loop

IMAGE = np.zeros((1, 1, 2, 2), np.float32)


class Sleeper(Runner):
    """A runner with ``seconds`` per query, but ``stall`` in its 20th, if it is not 0."""

    def __init__(self, seconds: float, stall: float = 0.0, streams: int = 1) -> None:
        super().__init__(label="sleeper", shape=(1, 2, 2), max_batch=1)
        self.seconds, self.stall, self.streams = seconds, stall, streams
        self.queries = self.now = self.most = 0
        self._counting = Lock()

    def _execute(self, feed: Batch) -> np.ndarray:
        with self._counting:
            self.queries += 1
            self.now += 1
            self.most = max(self.most, self.now)
            seconds = self.stall if self.stall and self.queries == 20 else self.seconds
        time.sleep(seconds)
        with self._counting:
            self.now -= 1
        return feed


@pytest.mark.parametrize(
    ("cores", "clients"),
    [(1, (1, 2)), (2, (1, 2, 4)), (3, (1, 2, 4, 8)), (4, (1, 2, 4, 8)), (5, (1, 2, 4, 8, 16))],
)
def test_numbers_of_clients_reach_two_per_core(cores: int, clients: tuple[int, ...]) -> None:
    assert usual_clients(cores) == clients


def test_arrivals_are_a_poisson_process_and_reproducible() -> None:
    due = poisson_arrivals(50.0, 400.0)
    assert due == poisson_arrivals(50.0, 400.0)
    assert len(due) == 20_000
    assert 0 <= due[0] < due[-1] < 400
    gaps = np.diff(due)
    assert gaps.min() > 0
    # Exponential gaps: mean = standard deviation, and a share of exp(-1) is longer than the mean.
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.01)
    assert gaps.std() == pytest.approx(1 / 50, rel=0.05)
    assert np.mean(gaps > 1 / 50) == pytest.approx(np.exp(-1), abs=0.02)
    # Numbers of requests per second: variance = mean.
    counts = np.histogram(due, bins=400, range=(0, 400))[0]
    assert counts.var() == pytest.approx(50, rel=0.25)


def test_at_least_one_request_is_due() -> None:
    assert len(poisson_arrivals(0.01, 0.1)) == 1


def test_waits_are_in_milliseconds_with_percentiles_of_trtexec() -> None:
    found = waits_from_seconds([n / 1000 for n in range(200, 0, -1)])
    assert (found.requests, found.highest) == (200, 200.0)
    assert (found.p50, found.p90, found.p99) == (100.5, 180.0, 199.0)  # two of 200 are left out
    assert waits_from_seconds([0.001] * 99).p99 is None


def test_requests_that_were_not_started_count_with_their_wait() -> None:
    found = open_loop_from_times(7.0, [0.0, 1.0, 2.0, 3.0], [0.5, 4.5], 4.0, streams=1)
    assert (found.rate, found.offered, found.achieved) == (7.0, 1.0, 0.25)
    assert (found.backlog, found.kept_up) == (3, False)
    assert (found.waits.requests, found.waits.highest) == (4, 3500.0)
    assert found.waits.p50 == 1500.0, "of 500, 3500, 2000 and 1000"
    assert open_loop_from_times(1.0, [0.0, 1.0, 2.0, 3.0], [0.5, 4.5], 4.0, streams=2).kept_up


def test_engine_with_a_backlog_above_5_percent_did_not_keep_up() -> None:
    due = [n / 100 for n in range(100)]
    for left, kept_up in ((5, True), (6, False)):
        answered = [moment + 0.001 for moment in due[: 100 - left]]
        found = open_loop_from_times(100.0, due, answered, 1.0, streams=1)
        assert (found.backlog, found.kept_up) == (left, kept_up)


def test_stall_is_hidden_in_a_closed_loop_and_counts_in_an_open_loop() -> None:
    """Coordinated omission: clients send nothing during a stall, but requests become due."""
    closed = closed_loop(Sleeper(0.005, stall=0.4), IMAGE, 1, 1.6)
    assert closed.waits.highest >= 400
    assert closed.waits.p90 < 200, "one of hundreds"
    opened = open_loop(Sleeper(0.005, stall=0.4), IMAGE, 0.8 * closed.throughput, 1.6)
    assert opened.waits.highest > 200
    assert opened.waits.p90 > 100, "the queue that it left is felt for long"
    assert opened.waits.p90 > 3 * closed.waits.p50


def test_clients_of_one_stream_share_its_throughput_in_order() -> None:
    runner = Sleeper(0.01)
    alone, four = (closed_loop(runner, IMAGE, clients, 0.6) for clients in (1, 4))
    assert runner.most == 1
    assert alone.throughput < 100
    assert four.throughput < 100
    assert four.waits.p50 == pytest.approx(4000 / four.throughput, rel=0.5), "all wait for all"
    assert four.waits.highest < 15 * four.waits.p50, "nobody is passed over for the whole run"
    assert runner.queries == alone.waits.requests + four.waits.requests


def test_all_streams_are_used() -> None:
    runner = Sleeper(0.01, streams=3)
    assert closed_loop(runner, IMAGE, 2, 0.1).clients == 2
    assert runner.most == 2
    assert closed_loop(runner, IMAGE, 8, 0.4).throughput > 100, "more than one stream can"
    assert runner.most == 3
    assert open_loop(runner, IMAGE, 200.0, 0.4).achieved > 100


def test_engine_below_its_capacity_keeps_up() -> None:
    found = open_loop(Sleeper(0.002), IMAGE, 20.0, 1.0)
    assert found.kept_up
    assert found.achieved == pytest.approx(found.offered, rel=0.15)
    assert 2 <= found.waits.p50 < 100


def test_run_ends_if_the_engine_is_far_too_slow() -> None:
    start = time.perf_counter()
    found = open_loop(Sleeper(0.05), IMAGE, 400.0, 0.5)
    assert time.perf_counter() - start < 5.0, "200 requests would take ten seconds"
    assert found.offered == 400
    assert 2 <= found.achieved <= 20
    assert not found.kept_up
    assert found.backlog == found.waits.requests - round(found.achieved * 0.5)
    assert found.waits.highest > 350, "the last ones waited for half a second"


@pytest.mark.parametrize("loop", ["closed", "open"])
def test_errors_of_an_engine_are_raised(loop: str) -> None:
    runner, wrong = Sleeper(0.001), np.zeros((1, 1, 2, 3), np.float32)
    with pytest.raises(ValueError, match="sleeper accepts float32"):
        if loop == "closed":
            closed_loop(runner, wrong, 2, 0.05)
        else:
            open_loop(runner, wrong, 100.0, 0.05)


def test_rates_are_shares_of_the_best_throughput_of_each() -> None:
    shares: list[float] = []
    fast, slow = measure_load(
        [Sleeper(0.004), Sleeper(0.012)], LoadSettings(clients=(1, 2)), 0.2, shares.append
    )
    for load in (fast, slow):
        best = max(row.throughput for row in load.closed)
        assert [row.clients for row in load.closed] == [1, 2]
        assert [row.rate for row in load.open] == pytest.approx(
            [share * best for share in SHARES], rel=0.01
        )
    assert fast.open[0].rate > 2 * slow.open[0].rate
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    settings = LoadSettings(clients=(1,), rates=(20.0, 40.0))
    (given,) = measure_load([Sleeper(0.004)], settings, 0.1)
    assert [row.rate for row in given.open] == [20.0, 40.0]
