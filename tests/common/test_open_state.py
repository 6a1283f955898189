"""Closing an object: once, after the calls that run, from any thread, also within a call."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ocr_trt.common.open_state import OpenState
from ocr_trt.errors import ClosedError


class Resource:
    """Counts how often it was freed."""

    def __init__(self) -> None:
        self.state, self.freed = OpenState("the resource"), 0

    def close(self) -> None:
        self.state.close(self.free)

    def free(self) -> None:
        self.freed += 1


def test_close_frees_once_and_refuses_later_calls() -> None:
    resource = Resource()
    with resource.state.in_use(), resource.state.in_use():
        pass
    resource.close()
    resource.close()
    assert resource.freed == 1
    with pytest.raises(ClosedError, match="the resource is closed; open it again"):
        with resource.state.in_use():
            pass


def test_close_waits_for_calls_which_may_use_the_object_again() -> None:
    resource, entered, proceed = Resource(), threading.Event(), threading.Event()

    def call() -> int:
        with resource.state.in_use():
            entered.set()
            assert proceed.wait(30)
            with resource.state.in_use():  # part of a call that began before
                return resource.freed

    with ThreadPoolExecutor(4) as threads:
        calling = threads.submit(call)
        assert entered.wait(30)
        closing = [threads.submit(resource.close) for _ in range(3)]
        while not resource.state.is_closed:
            pass
        assert not any(each.done() for each in closing)
        proceed.set()
        assert calling.result(30) == 0
        for each in closing:
            each.result(30)
            assert resource.freed == 1


def test_close_in_the_middle_of_a_call_frees_when_the_last_call_ends() -> None:
    resource, entered, proceed = Resource(), threading.Event(), threading.Event()

    def other() -> None:
        with resource.state.in_use():
            entered.set()
            assert proceed.wait(30)

    with ThreadPoolExecutor(1) as threads:
        calling = threads.submit(other)
        assert entered.wait(30)
        with resource.state.in_use():
            resource.close()
            resource.close()
            assert resource.freed == 0
        assert resource.freed == 0, "another call uses it"
        proceed.set()
        calling.result(30)
    assert resource.freed == 1


def test_signal_handler_may_close_at_any_moment() -> None:
    """A timer interrupts calls at random moments, also while they begin and end."""
    for _ in range(300):
        resource = Resource()
        previous = signal.signal(signal.SIGALRM, lambda *_, own=resource: own.close())
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0005)
            with pytest.raises(ClosedError):
                while True:
                    with resource.state.in_use(), resource.state.in_use():
                        assert resource.freed == 0
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        assert resource.freed == 1


def test_call_that_another_thread_ends_counts() -> None:
    resource = Resource()
    resource.state.begin()
    closing = threading.Thread(target=resource.close)
    closing.start()
    while not resource.state.is_closed:
        pass
    with resource.state.continued(), resource.state.in_use():
        assert resource.freed == 0
    resource.state.end()
    closing.join(30)
    assert resource.freed == 1


def test_error_while_freeing_is_raised_once() -> None:
    state = OpenState("the resource")

    def free() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        state.close(free)
    state.close(free)


def test_forked_process_can_neither_use_nor_free_the_object() -> None:
    resource = Resource()
    child = os.fork()
    if not child:
        try:
            with pytest.raises(ClosedError, match="forked"), resource.state.in_use():
                pass
            resource.close()
            os._exit(resource.freed)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with resource.state.in_use():
        pass
