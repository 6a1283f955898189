"""The queue: its limit follows the measured capacity, and every image leaves it."""

from __future__ import annotations

import time

import pytest

from ocr_trt.serve.admission import Admission
from ocr_trt.serve.problems import ServiceError


def measured(seconds: float, monkeypatch: pytest.MonkeyPatch, max_wait: float) -> Admission:
    """Return an admission that has seen two workers finish an image every ``seconds``."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    own = Admission(workers=2, max_wait=max_wait)
    own.begin()
    for _ in range(200):
        own.begin()
        now += seconds
        own.end()
    own.end()
    return own


def test_limit_is_capacity_times_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    own = measured(0.05, monkeypatch, max_wait=3)
    assert own.capacity == pytest.approx(20)
    assert own.limit == 60
    assert measured(2.0, monkeypatch, max_wait=3).limit == 8, "four per worker at least"
    assert Admission(workers=3, max_wait=3).limit == 12, "not measured yet"


def test_time_without_work_does_not_change_the_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    own = measured(0.05, monkeypatch, max_wait=3)
    now = 10_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    own.begin()  # one of two workers: not busy
    now += 500
    own.end()
    assert own.capacity == pytest.approx(20)


def test_queue_is_bounded_and_tells_when_to_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    own = measured(0.05, monkeypatch, max_wait=3)
    with own.ticket(60):
        assert own.waiting == 60
        with pytest.raises(ServiceError) as refused, own.ticket():
            pass
        assert refused.value.code == "overloaded" and refused.value.retry_after == 3
        assert "60" in refused.value.message and own.waiting == 60
    assert own.waiting == 0
    with own.ticket(500) as long:  # nothing waits: a long document is accepted
        with pytest.raises(ServiceError):
            long.add(1)
        long.begin()
        assert (own.waiting, own.in_flight) == (499, 1)
    assert (own.waiting, own.in_flight) == (0, 1)
    own.end()
    assert own.in_flight == 0
