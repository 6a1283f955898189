"""Run ``ocr-trt batch`` as a program, and compare its results with those of ``ocr-trt run``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.cli.in_process import run

LONGEST = 300.0  # seconds; a hang must fail


_START = "import sys; sys.path[:] = {path!r}; from ocr_trt.cli import main; main()"
"""Like the script ``ocr-trt``, and unlike ``python -m``, it does not import from the folder."""


def start(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    """Start the program in a process group of its own."""
    code = _START.format(path=[entry for entry in sys.path if entry])
    return subprocess.Popen(
        [sys.executable, "-c", code, "batch", *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a program; return its exit code, stdout and stderr."""
    out, err = process.communicate(timeout=LONGEST)
    return process.returncode, out, err


def batch(*arguments: object, cwd: Path | None = None, **environment: str) -> tuple[int, str, str]:
    """Run the program to its end."""
    return finished(start(*arguments, cwd=cwd, **environment))


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """Return the first true value of a condition; fail if the program ends before."""
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        if value := condition():
            return value
        assert process.poll() is None, f"ended early: {process.communicate()}"
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def committed(output: Path) -> int:
    """Return how many blocks are complete."""
    names = (file.name for file in output.glob("_batch/checkpoint-*/*.parquet"))
    return sum(not name.endswith(".pending.parquet") for name in names)


def processes(output: Path, name: str = "") -> list[int]:
    """Return the processes of Ray that belong to the session of a program."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command = (folder / "cmdline").read_bytes()
            environment = (folder / "environ").read_bytes()
        except OSError:  # it has ended
            continue
        if f"OCR_TRT_TEST={output}".encode() in environment and name.encode() in command:
            found.append(int(folder.name))
    return found


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def rows(output: Path) -> list[dict[str, Any]]:
    """Return all rows of the results, by id and page."""
    table = pq.ParquetDataset(output).read()
    return sorted(table.to_pylist(), key=lambda row: (row["id"], row["page"]))


def expected(images: Path, engines: tuple[object, ...]) -> list[dict[str, Any]]:
    """Return what ``ocr-trt run --json`` prints."""
    return json.loads(run("run", images, *engines, "--json").stdout)


def check_like_run(output: Path, images: Path, engines: tuple[object, ...]) -> None:
    """Check that each image has one row, with the lines and the errors of ``ocr-trt run``."""
    results, run_results = rows(output), expected(images, engines)
    assert [row["path"] for row in results] == [row["file"] for row in run_results]
    for row, one in zip(results, run_results, strict=True):
        assert row["lines"] == one.get("lines")
        assert (row["error"] is None) == ("error" not in one)
        if "error" in one:
            assert row["error"] == one["error"]["message"]
            assert row["error_type"] == one["error"]["type"]
