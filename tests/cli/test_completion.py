"""Shell completion: its installation, and what it proposes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ocr_trt.engines.target_groups import AUTO
from ocr_trt.engines.targets import target_names


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An empty home folder, and a program ``ocr-trt``."""
    program = tmp_path / "bin" / "ocr-trt"
    program.parent.mkdir()
    # click names the variable for completion after the program, not after ``python -m``.
    code = "import sys; sys.argv[0] = 'ocr-trt'; from ocr_trt.cli import main; main()"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
    program.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    paths = f"{program.parent}:{os.environ['PATH']}"
    return {**os.environ, "HOME": str(home), "PATH": paths, "SHELL": "/bin/bash"}


def shell(script: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_completion_is_installed_and_shown(environment: dict[str, str]) -> None:
    # A second command: bash would otherwise replace itself, and its name could not be found.
    assert "_OCR_TRT_COMPLETE" in shell("ocr-trt --show-completion; true", environment)
    shell("ocr-trt --install-completion; true", environment)
    home = Path(environment["HOME"])
    (script,) = (home / ".bash_completions").iterdir()
    assert str(script) in (home / ".bashrc").read_text()
    # bash knows the program's completion after it has read the file.
    assert "ocr-trt" in shell(
        f"source {shlex.quote(str(script))}; complete -p ocr-trt", environment
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ocr-trt bu", ["build", "bundle"]),
        ("ocr-trt build --target ", [AUTO, *target_names()]),
        ("ocr-trt build --prec", ["--precision"]),
        ("ocr-trt bundle ", ["show", "verify", "diff", "layers"]),
    ],
)
def test_commands_options_and_values_are_completed(
    words: str, expected: list[str], environment: dict[str, str]
) -> None:
    settings = {
        "_OCR_TRT_COMPLETE": "complete_bash", "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }  # fmt: skip
    assert shell("ocr-trt", {**environment, **settings}).split() == expected


@pytest.mark.parametrize(
    "arguments",
    ["build x.yaml --precision int88", "build x.yaml", "bench x", "debug x --data y", "run x -q"],
)
def test_mistakes_are_found_before_tensorflow_is_imported(
    arguments: str, environment: dict[str, str], tmp_path: Path
) -> None:
    code = f"""
import sys
from ocr_trt.cli.app import run_program
assert run_program({arguments.split()!r}) == 2
slow = {{"tensorflow", "keras", "tf2onnx", "onnxruntime", "openvino"}} & sys.modules.keys()
assert not slow, slow
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
