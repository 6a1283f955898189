"""Steps report that they are still running, also to a log file."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time

import pytest

from ocr_trt.common import progress
from ocr_trt.common.progress import (
    LogReporter,
    SilentReporter,
    chosen_reporter,
    duration_text,
    heartbeat,
)
from ocr_trt.errors import UserError


def test_durations_as_text() -> None:
    assert duration_text(0.4) == "0 s"
    assert duration_text(59.6) == "1 min 0 s"
    assert duration_text(185) == "3 min 5 s"
    assert duration_text(7800) == "2 h 10 min"


def test_long_step_reports_time_and_estimate() -> None:
    said: list[str] = []
    with heartbeat(said.append, total=4, every=0.05) as advance:
        advance(1)
        while len(said) < 2:
            time.sleep(0.01)
    assert "0 s so far, 1 of 4, about" in said[0]
    assert said[0].endswith("left")
    count = len(said)
    time.sleep(0.2)
    assert len(said) == count, "a step that has ended is silent"


def test_step_of_unknown_length_has_no_estimate() -> None:
    said: list[str] = []
    with heartbeat(said.append, total=None, every=0.02):
        while not said:
            time.sleep(0.01)
    assert said[0] == "0 s so far"


def test_heartbeat_survives_a_closed_stream() -> None:
    calls: list[str] = []

    def say(text: str) -> None:
        calls.append(text)
        raise OSError("closed")

    with heartbeat(say, total=None, every=0.02):
        while len(calls) < 2:
            time.sleep(0.01)


def test_log_has_a_line_at_the_start_and_while_a_step_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT_S", 0.02)
    caplog.set_level(logging.INFO, "heart")
    with LogReporter(logging.getLogger("heart")).step("convert", 10) as advance:
        assert caplog.messages == ["convert"]
        advance(5)
        while len(caplog.messages) < 3:
            time.sleep(0.01)
    assert "convert: 0 s so far, 5 of 10" in caplog.messages[-1]


def test_function_is_called_with_title_and_units() -> None:
    calls: list[tuple[str, int, int | None]] = []
    log = logging.getLogger("heart")
    reporter = chosen_reporter(None, lambda *call: calls.append(call), log)
    with reporter.step("calibrate", 3) as advance:
        advance(1)
        advance(3)
    assert calls == [("calibrate", 0, 3), ("calibrate", 1, 3), ("calibrate", 3, 3)]
    silent = SilentReporter()
    assert chosen_reporter(silent, None, log) is silent
    with pytest.raises(UserError, match="not both"):
        chosen_reporter(silent, print, log)


SCRIPT = """
import sys, time
from ocr_trt.common import progress
from ocr_trt.cli.console_reporter import ConsoleReporter
progress.HEARTBEAT_S = 0.1
with ConsoleReporter().step("calibrate", 8) as advance:
    advance(2)
    time.sleep(0.35)
reporter = ConsoleReporter()
with reporter.step("outer"):
    with reporter.step("inner"):
        pass
with reporter.step("last"):
    pass
with ConsoleReporter(silent=True).step("hidden"):
    time.sleep(0.25)
"""


def test_program_writes_signs_of_life_into_a_log_file() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    lines = done.stderr.splitlines()
    assert lines[0] == "  calibrate ..."
    assert "calibrate: 0 s so far, 2 of 8, about" in lines[1]
    assert lines[-2:] == ["  outer ...", "  last ..."], "a step inside another one is not shown"
    assert "hidden" not in done.stderr


def test_steps_inside_others_work_on_a_terminal() -> None:
    leader, follower = os.openpty()
    try:
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, stderr=follower, timeout=60, check=False)
        shown = os.read(leader, 1 << 16).decode()
    finally:
        os.close(leader)
        os.close(follower)
    assert done.returncode == 0, shown
    assert "calibrate" in shown
