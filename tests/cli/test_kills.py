"""SIGKILL at random moments of builds into one folder: a complete bundle is there at any time."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ocr_trt.common.scratch import is_scratch
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.errors import OcrTrtError
from tests.cli.in_process import run, succeeds

# A server that imports once and forks: a build without the imports takes a fraction of a second.
SERVER = """
import os, sys, traceback
from ocr_trt.cli.app import run_program
from ocr_trt.builder import build  # slow to import
import ocr_trt.engines.onnxruntime.backend, ocr_trt.convert.pipeline, ocr_trt.convert.opset
import onnx, onnx_ir, onnxruntime, onnxscript.version_converter
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        os._exit(run_program(line.rstrip("\\n").split("\\t")))
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("ended", flush=True)
"""


def options(spec: Path, output: Path) -> list[str]:
    words = ("--target", "onnxruntime", "--precision", "fp32", "--duration", "0.01")
    return ["build", str(spec), *words, "--output", str(output), "--quiet"]


class Server:
    """Runs builds in forked processes, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def start(self, arguments: list[str]) -> int:
        """Start a build; return its process id."""
        assert self._process.stdin is not None
        print("\t".join(arguments), file=self._process.stdin, flush=True)
        return int(self._read())

    def wait(self) -> None:
        """Wait for the build's end."""
        while self._read() != "ended":
            pass

    def _read(self) -> str:
        assert self._process.stdout is not None
        while not (line := self._process.stdout.readline().strip()).isdigit():
            if line == "ended" or not line:
                break
        return line

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def kill_builds(spec: Path, output: Path, count: int) -> None:
    """Kill builds at random moments; after each, the old or the new bundle must be complete."""
    succeeds(*options(spec, output))
    (bundle,) = output.iterdir()
    rng, server = random.Random(count), Server()
    for _ in range(2):  # the first build waits for the server's imports
        begin = time.monotonic()
        server.start(options(spec, output))
        server.wait()
    seconds = time.monotonic() - begin  # of one build on this machine, under its present load
    try:
        for number in range(count):
            pid = server.start(options(spec, output))
            time.sleep(1.1 * seconds * rng.random())
            with contextlib.suppress(ProcessLookupError):  # the build was quicker
                os.kill(pid, signal.SIGKILL)
            server.wait()
            done = run("bundle", "verify", bundle)
            assert done.code == 0, f"after kill {number}: {done.stderr}"
    finally:
        server.close()
    succeeds(*options(spec, output))
    assert [path for path in output.rglob("*") if path != bundle and path.parent != bundle] == []
    assert not any(is_scratch(path) for path in output.rglob("*"))


def test_killed_builds_leave_a_complete_bundle(spec_files: dict[str, Path], tmp_path: Path) -> None:
    kill_builds(spec_files["detector"], tmp_path / "bundles", 3)


@pytest.mark.full
@pytest.mark.timeout(1800)  # a busy machine takes seconds for each of the 200 builds
def test_many_killed_builds_leave_a_complete_bundle(
    spec_files: dict[str, Path], tmp_path: Path
) -> None:
    kill_builds(spec_files["detector"], tmp_path / "bundles", 200)


@pytest.mark.parametrize("builds", [1, pytest.param(4, marks=pytest.mark.full)])
def test_two_writers_and_two_readers_at_once(
    builds: int, spec_files: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "bundles"
    arguments = options(spec_files["detector"], output)
    succeeds(*arguments)
    (bundle,) = output.iterdir()
    answers: list[str] = []
    stop = threading.Event()

    def write() -> None:
        for _ in range(builds):
            done = subprocess.run(
                [sys.executable, "-m", "ocr_trt", *arguments], capture_output=True, text=True
            )
            answers.append(done.stderr)

    def read() -> None:
        count = 0
        while not stop.is_set() or not count:
            try:
                load_bundle(bundle)
            except OcrTrtError as error:
                answers.append(f"read: {error}")
            count += 1

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write) for _ in range(2)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert [answer for answer in answers if answer] == []
    assert [path.name for path in output.iterdir()] == [bundle.name]
