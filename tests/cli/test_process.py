"""Tests that need a separate process: start-up time, signals, and messages of libraries."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def test_version_is_printed_quickly() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "ocr_trt", "--version"], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.startswith("ocr-trt 0.")
    # Processor time, because other tests may run at the same time. It is 0.1 s on 2 cores.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_a_build_from_tensorflow_prints_only_json(
    tensorflow_spec: Path, images: Path, tmp_path: Path
) -> None:
    options = ("--calibration", images, "--data", images, "--output", tmp_path / "out")
    command = [sys.executable, "-m", "ocr_trt", "build", tensorflow_spec, *options]
    command += ["--duration", "0.05", "--json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["verdict"]["baseline"].startswith("tensorflow 2")
    assert row["verdict"]["metric"]["name"] == "hmean"
    assert done.stderr == "", "libraries print nothing"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_interrupted_build_leaves_no_files(
    stop: signal.Signals, spec_files: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    options = ["--output", str(output), "--calibration", str(images)]
    command = [sys.executable, "-m", "ocr_trt", "build", str(spec_files["recognizer"]), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(output.glob(".ocr-trt-*")):
        time.sleep(0.005)  # until the scratch folder of the bundle exists
    process.send_signal(stop)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + stop, errors
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert list(output.iterdir()) == []


def run_with(output: int | None, *arguments: str) -> tuple[int, str]:
    """Run the program with stdout on a descriptor, or closed; return its exit code and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "ocr_trt", *arguments],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        preexec_fn=(lambda: os.close(1)) if output is None else None,
    )
    return done.returncode, done.stderr


def test_full_disk_under_stdout_is_an_error_of_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        code, errors = run_with(full.fileno(), "schema", "spec")
    assert code == 2
    assert errors.startswith("error: ")
    assert "No space left on device" in errors
    assert errors.count("\n") == 1


def test_closed_stdout_is_accepted() -> None:
    assert run_with(None, "schema", "spec") == (0, "")


@pytest.mark.parametrize("size", [1, 5000], ids=["at the first write", "later"])
def test_closed_pipe_is_a_success(size: int) -> None:
    command = [sys.executable, "-m", "ocr_trt", "schema", "spec"]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stderr is not None
    if size > 1:
        program.stdout.read(size)
    program.stdout.close()
    assert program.wait(timeout=120) == 0
    assert program.stderr.read() == b""
    program.stderr.close()


def test_control_characters_in_an_error_are_escaped() -> None:
    name = "x\x1b]0;title\x07\r\u202e\x9b31m\n.yaml"
    code, errors = run_with(subprocess.DEVNULL, "inspect", name)
    assert code == 2
    assert errors.endswith("\n")
    assert errors[:-1].isprintable()
    assert "x\\x1b]0;title\\x07\\r\\u202e\\x9b31m" in errors


def test_long_error_is_shortened() -> None:
    code, errors = run_with(subprocess.DEVNULL, "inspect", "x" * 100_000)
    assert code == 2
    assert len(errors) < 3000


def test_files_do_not_get_the_numbers_of_closed_streams(tmp_path: Path) -> None:
    """Libraries write to the descriptor 2, whatever it is."""
    code = (
        "import os, sys\n"
        "os.close(0), os.close(2)\n"
        "from ocr_trt.cli import start\n"
        "start._fill_standard_descriptors()\n"
        f"print(os.open({str(tmp_path / 'plan')!r}, os.O_CREAT | os.O_WRONLY) > 2)\n"
        "os.write(2, b'noise')\n"
        "print(os.readlink('/proc/self/fd/2'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", os.devnull]
    assert (tmp_path / "plan").read_bytes() == b""


def test_folder_that_was_removed_is_an_error_of_one_line(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"")
    folder = tmp_path / "gone"
    folder.mkdir()

    def leave() -> None:
        os.chdir(folder)
        folder.rmdir()

    done = subprocess.run(
        [sys.executable, "-c", "from ocr_trt.cli import main; main()", "batch", str(model),
         "--lines", "--recognizer", "x", "--output", "y"],
        capture_output=True, text=True, timeout=120, preexec_fn=leave,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
