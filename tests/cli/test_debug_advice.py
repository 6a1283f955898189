"""The commands after ``debug`` can be pasted into a shell."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command

from ocr_trt.cli.app import app
from ocr_trt.debug.divergence import Cause, Culprit, StepRow
from ocr_trt.debug.findings import DebugReport
from ocr_trt.debug.summary_lines import summary_lines
from tests.cli.in_process import succeeds


def report(cause: Cause, bundle: Path, data: Path, **change: Any) -> DebugReport:
    step = StepRow(name="c", op="Conv", layer="", weights=change.pop("weights", None))
    fields: dict[str, Any] = {
        "bundle": str(bundle), "data": str(data), "name": "det", "role": "detector",
        "target_name": "openvino", "precision": "int8", "reference": "float graph", "looked_at": 3,
        "worse": 0, "verdict": "graph", "graph": 9.0, "target": None,
        "culprit": Culprit(step=step, cause=cause, stands_out=True),
    }  # fmt: skip
    return DebugReport(**{**fields, **change})


def commands(report: DebugReport) -> list[list[str]]:
    # Whole lines, as a user pastes them.
    return [shlex.split(line) for line in summary_lines(report) if line.startswith("  ocr-trt ")]


@pytest.mark.parametrize("cause", get_args(Cause))
@pytest.mark.parametrize("weights", [None, 9.0])
def test_commands_have_options_that_exist(cause: Cause, weights: float | None) -> None:
    result = report(cause, Path("my bundles/b"), Path("data 1"), weights=weights)
    assert commands(result)
    for program, name, *arguments in commands(result):
        assert program == "ocr-trt"
        command = get_command(app).commands[name]  # type: ignore[attr-defined]
        context = command.make_context(name, arguments, resilient_parsing=False)
        paths = context.params.get("models") or [context.params["model"]]
        assert [*map(Path, paths)] == [Path("my bundles/b/spec.yaml")]


@pytest.mark.parametrize("cause", ["clipped", "weights", "op"])
def test_pasted_lines_run_in_a_shell(
    cause: Cause, bundles: dict[str, Path], shared_images: Path, tmp_path: Path
) -> None:
    result = report(cause, bundles["detector"], shared_images)
    lines = [line for line in summary_lines(result) if line.startswith("  ocr-trt ")]
    assert lines
    (tmp_path / "ocr-trt").write_text(f'#!/bin/sh\nexec {sys.executable} -m ocr_trt "$@"\n')
    (tmp_path / "ocr-trt").chmod(0o755)
    # The first command alone, beside a copy of the bundle: the fixture's folder is shared.
    line = lines[0].replace(
        f"--output {bundles['detector'].parent}", f"--output {tmp_path / 'out'} --duration 0.05"
    )
    paths = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", line], env={**os.environ, "PATH": paths}, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_commands_run(bundles: dict[str, Path], shared_images: Path, tmp_path: Path) -> None:
    result = report("target", bundles["detector"], shared_images, precision="fp32")
    ((_, *arguments),) = commands(result)
    place = arguments.index("--output") + 1
    assert Path(arguments[place]) == bundles["detector"].parent, "beside the old bundle"
    arguments[place] = str(tmp_path)  # the fixture's folder is shared
    text = succeeds(*arguments, "--duration", "0.05", cwd=tmp_path)
    assert "det-onnxruntime-fp32" in text
    assert (tmp_path / "det-onnxruntime-fp32" / "manifest.json").is_file()


def test_sound_engine_needs_no_command() -> None:
    result = report("coarse", Path("b"), Path("d"), worse=0)
    culprit = result.culprit
    assert culprit is not None
    calm = result.model_copy(update={"culprit": culprit.model_copy(update={"stands_out": False})})
    assert commands(calm) == []
    assert any("no sample got worse" in line for line in summary_lines(calm))
