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
    first = own.begin()
    for _ in range(200):
        began = own.begin()
        now += seconds
        own.end(began, is_read=True)
    own.end(first, is_read=True)
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
    began = own.begin()  # one of two workers: not busy
    now += 500
    own.end(began, is_read=True)
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
        with pytest.raises(ServiceError), own.ticket():
            pass
        began = long.begin()
        assert (own.waiting, own.in_flight) == (499, 1)
    assert (own.waiting, own.in_flight) == (0, 1)
    own.end(began, is_read=True)
    assert own.in_flight == 0


def test_a_long_document_in_a_batch_is_accepted_if_no_other_request_waits() -> None:
    own = Admission(workers=2, max_wait=3)
    with own.ticket(6) as batch:
        batch.begin()
        batch.add(20)  # its pages; five images of the same batch wait
        assert own.waiting == 25
        with pytest.raises(ServiceError), own.ticket():
            pass
    with own.ticket(5), own.ticket() as other:
        other.begin()
        with pytest.raises(ServiceError):
            other.add(20)


def test_only_images_that_were_read_are_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    own = measured(0.05, monkeypatch, max_wait=3)
    now = 10_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for _ in range(50):
        page = own.begin()
        for _ in range(100):  # bodies that are no image, while the other worker reads a page
            wrong = own.begin()
            now += 0.0005
            own.end(wrong, is_read=False)
        other = own.begin()
        own.end(page, is_read=True)
        own.end(other, is_read=False)
    assert own.capacity == pytest.approx(20), "a page per 0.05 s"
    began = own.begin()
    for _ in range(1000):
        wrong = own.begin()
        now += 1
        own.end(wrong, is_read=False)
    own.end(began, is_read=False)
    page, other = own.begin(), own.begin()
    now += 0.05
    own.end(page, is_read=True)
    own.end(other, is_read=True)
    assert own.capacity == pytest.approx(20), "the time of wrong bodies is not that of a page"
