"""Ctrl-C and SIGTERM at random moments of every long command: exit code, one line, nothing left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_trt.common.scratch import is_scratch
from tests.cli.test_bad_inputs import Good, good  # noqa: F401 - a fixture

Line = Callable[[Good, Path], tuple[object, ...]]
STOPS = (signal.SIGINT, signal.SIGTERM)
LONGEST_END = 15.0  # seconds; the program allows itself 3, but the machine may be busy
LONGEST_MOMENT = 4.0  # seconds after the start; most moments are early, during imports

COMMANDS: dict[str, Line] = {
    "run": lambda g, out: ("run", *[g.images] * 400, *g.engines, "--draw", out / "drawn"),
    "run --workers": lambda g, out: ("run", *[g.images] * 400, *g.engines, "--workers", 3),
    "run -": lambda g, out: ("run", "-", *g.engines),
    "build": lambda g, out: (
        *("build", g.detector_spec, g.recognizer_spec, "--calibration", g.images),
        *("--data", g.images, "--duration", 9, "--output", out / "b"),
    ),
    "build --precision best": lambda g, out: (
        *("build", g.recognizer_spec, "--precision", "best", "--calibration", g.images),
        *("--duration", 9, "--output", out / "b"),
    ),
    "bench": lambda g, out: (
        *("bench", g.detector, g.recognizer, "--data", g.images, "--load"),
        *("--duration", 9, "--report", out / "r"),
    ),
    "inspect --verify": lambda g, out: (
        *("inspect", g.recognizer_spec, "--calibration", g.images, "--ranges", out / "r.json"),
    ),
    "debug": lambda g, out: ("debug", g.detector, "--data", g.images, "--output", out / "d"),
    "optimize": lambda g, out: ("optimize", g.detector, g.recognizer),
}
TENSORFLOW_COMMANDS: dict[str, Line] = {
    "demo": lambda g, out: ("demo", "--output", out / "demo"),
    "train": lambda g, out: ("train", "recognizer", "--steps", 50, "--output", out / "run"),
}


def handles_signals(pid: int) -> bool:
    """Whether a process has a handler of SIGTERM, so that Python has started and ocr-trt begun."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return True  # a process that has ended has no such line


def group_of(pid: int) -> list[int]:
    """Return the processes of the process group that a child began."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if int(fields[2]) == pid and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def interrupt(line: tuple[object, ...], out: Path, rng: random.Random) -> str:
    """Start a command, stop it at a random moment, once or twice; return what is wrong, or ""."""
    temporary = out / "tmp"
    temporary.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "ocr_trt", *map(str, line)],
        # A command that reads standard input waits: nothing is written, and the pipe stays open.
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(out / "cache")},
        start_new_session=True,
    )
    while process.poll() is None and not handles_signals(process.pid):
        time.sleep(0.001)
    stops, moment = [rng.choice(STOPS)], LONGEST_MOMENT * rng.random() ** 3
    time.sleep(moment)
    begin = time.monotonic()
    process.send_signal(stops[0])
    if rng.random() < 0.5:
        time.sleep(0.2 * rng.random())
        stops.append(rng.choice(STOPS))
        process.send_signal(stops[1])
    errors = _rest(process)
    seconds = time.monotonic() - begin
    what = f"{line[0]}, {[stop.name for stop in stops]} after {moment:.3f} s: "
    running = group_of(process.pid)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    left = [path for path in out.rglob("*") if is_scratch(path) or path.parent == temporary]
    if seconds > LONGEST_END:
        return f"{what}ended after {seconds:.1f} s"
    # Two signals that arrive at once have no order; a command may also be done before.
    codes = {128 + stop for stop in stops}
    if process.returncode not in codes | {0}:
        return f"{what}exit code {process.returncode}: {errors}"
    if process.returncode and errors.count("error: interrupted") != 1:
        return f"{what}no message: {errors}"
    if "Traceback" in errors or "Exception ignored" in errors:
        return what + errors
    return f"{what}left {left}, {running}" if left or running else ""


def _rest(process: subprocess.Popen[str]) -> str:
    """Wait for the end of a process and return its errors; its standard input stays open."""
    assert process.stdin is not None
    assert process.stderr is not None
    errors = process.stderr.read()
    process.wait(timeout=60)
    process.stdin.close()
    return errors


def check(names: dict[str, Line], good: Good, folder: Path, moments: int, seed: int) -> None:  # noqa: F811
    rng = random.Random(seed)
    order = [list(names)[number % len(names)] for number in range(moments)]
    answers = [
        interrupt(names[name](good, folder / str(number)), folder / str(number), rng)
        for number, name in enumerate(order)
    ]
    assert [answer for answer in answers if answer] == []


def test_signals_end_commands(good: Good, tmp_path: Path) -> None:  # noqa: F811
    check(COMMANDS, good, tmp_path, moments=9, seed=1)


@pytest.mark.full
def test_signals_end_commands_at_many_moments(good: Good, tmp_path: Path) -> None:  # noqa: F811
    check(COMMANDS, good, tmp_path, moments=60, seed=2)


@pytest.mark.full
def test_signals_end_commands_that_use_tensorflow(good: Good, tmp_path: Path) -> None:  # noqa: F811
    pytest.importorskip("tensorflow")
    check(TENSORFLOW_COMMANDS, good, tmp_path, moments=8, seed=3)


HANGS = """
import sys, time
from pathlib import Path
from ocr_trt.cli import app, main
from ocr_trt.common.scratch import scratch_folder

def hang(*_, **__):
    with scratch_folder(Path(sys.argv[1])) as scratch:
        (scratch / "half").write_text("x")
        print("ready", flush=True)
        while True:
            try: time.sleep(100)
            except BaseException: pass  # as native code, which signals do not interrupt

app.app = hang
main()
"""


def test_a_command_that_cannot_be_interrupted_ends_too(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HANGS, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.terminate()
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 128 + signal.SIGTERM
    assert "interrupted" in errors
    assert list(tmp_path.iterdir()) == []


SWALLOWS = """
import time
from ocr_trt.cli import app, main

class Finalized:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(1)  # an exception in a finalizer is dropped

def work(*_, **__):
    Finalized()
    time.sleep(60)
    return 0

app.app = work
main()
"""


def test_a_signal_in_a_finalizer_is_not_lost() -> None:
    command = [sys.executable, "-c", SWALLOWS]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 128 + signal.SIGINT
    assert errors == "error: interrupted; no incomplete output was left behind\n"
