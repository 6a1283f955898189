"""The time limit of a conversion interrupts Python code in any thread, and reports native code."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ocr_trt.convert.sources import open_source
from ocr_trt.convert.time_limit import VARIABLE, TimeLimit, seconds_allowed
from ocr_trt.errors import ConversionError, UserError
from ocr_trt.spec import SourceSpec


def _endless() -> None:
    while True:
        try:
            time.sleep(0.001)
        except Exception:  # as tf2onnx does
            continue


def test_result_is_returned_and_error_is_raised() -> None:
    limit = TimeLimit(60.0)
    assert limit.run(lambda: 3) == 3
    with pytest.raises(KeyError):
        limit.run(lambda: {}["no"])
    assert threading.active_count() < 20, "the watchdogs end"


def test_endless_code_is_interrupted_and_its_step_is_named() -> None:
    limit = TimeLimit(0.1)
    limit.step = "the rule sink_views"
    with pytest.raises(ConversionError, match=rf"0\.1 s.*the rule sink_views.*{VARIABLE}"):
        limit.run(_endless)
    time.sleep(0.2)  # an exception that arrived late would be raised here


def test_only_the_thread_that_converts_is_interrupted() -> None:
    counts, errors, stop = [0], list[ConversionError](), threading.Event()

    def work() -> None:
        while not stop.wait(0.001):
            counts[0] += 1

    def convert() -> None:
        try:
            TimeLimit(0.1).run(_endless)
        except ConversionError as error:
            errors.append(error)

    threads = [threading.Thread(target=each) for each in (work, convert)]
    for thread in threads:
        thread.start()
    threads[1].join(30)
    before = counts[0]
    time.sleep(0.2)
    stop.set()
    threads[0].join(30)
    assert len(errors) == 1
    assert counts[0] > before, "the other thread still runs"


def test_code_that_catches_everything_is_interrupted_again() -> None:
    caught = []

    def stubborn() -> None:
        while len(caught) < 2:
            try:
                time.sleep(0.001)
            except BaseException as error:
                caught.append(error)
        _endless()

    with pytest.raises(ConversionError):
        TimeLimit(0.05, retry=0.1).run(stubborn)
    assert len(caught) == 2


def test_native_code_is_reported_by_the_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = list[threading.ExceptHookArgs]()
    monkeypatch.setattr(threading, "excepthook", reports.append)
    # Like native code, one long sleep cannot be interrupted; the error is raised when it ends.
    with pytest.raises(ConversionError):
        TimeLimit(0.05, grace=0.1).run(lambda: time.sleep(1.0))
    (report,) = reports
    assert isinstance(report.exc_value, ConversionError)
    assert "cannot be interrupted" in str(report.exc_value)


def test_command_line_ends_with_the_exit_code_of_the_error() -> None:
    code = (
        "import time\n"
        "from ocr_trt.cli import app, start\n"
        "from ocr_trt.convert.time_limit import TimeLimit\n"
        "def program(*arguments):\n"
        "    TimeLimit(0.1, grace=0.1).run(lambda: time.sleep(60))\n"
        "app.run_program = program\n"
        "start.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.returncode == 3
    assert done.stderr.startswith("error: the conversion takes longer than 0.1 s")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "1e99"])
def test_wrong_setting_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UserError, match=VARIABLE):
        seconds_allowed()


def test_zero_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0")
    assert TimeLimit(seconds_allowed()).run(lambda: 1) == 1


def test_reading_a_model_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    monkeypatch.setenv(VARIABLE, "0.1")
    monkeypatch.setattr(
        "ocr_trt.convert.sources.onnx_source.open_source", lambda source: _endless()
    )
    with pytest.raises(ConversionError, match=r"0\.1 s.*the reading of model\.onnx"):
        open_source(SourceSpec(path=tmp_path / "model.onnx"))
