"""The program does not run files of the current folder, whatever the command."""

from __future__ import annotations

import json
import operator
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import ocr_trt
from ocr_trt.models.training_batches import prefetched

HOSTILE = """
from pathlib import Path
with Path({mark!r}).open("a") as file:
    file.write(__name__ + "\\n")
raise SystemExit("a file of the current folder ran")
"""
# As the program that pip installs: its own folder comes first on the import path, not the current
# one.
PROGRAM = """
import json, sys
from ocr_trt.cli.app import run_program
for command in json.loads(sys.argv[1]):
    print("$", *command, flush=True)
    if code := run_program(command):
        sys.exit(code)
"""
SETTINGS = "text.usetex: True\nfont.family: no-such-font\nsavefig.dpi: 1\n"


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a file for every module that is installed; returns their mark."""
    folder, mark = tmp_path / "hostile", tmp_path / "mark"
    folder.mkdir()
    names = {*sys.stdlib_module_names, *metadata.packages_distributions(), "ocr_trt"}
    for name in (*names, "sitecustomize", "usercustomize"):
        if name.isidentifier():
            (folder / f"{name}.py").write_text(HOSTILE.format(mark=str(mark)))
    (folder / "matplotlibrc").write_text(SETTINGS)
    monkeypatch.chdir(folder)
    return mark


def run(commands: list[list[object]], tmp_path: Path) -> None:
    program = tmp_path / "program" / "ocr-trt"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    # Where this package is, which may be nowhere on the import path of a new process.
    path = str(Path(ocr_trt.__file__).parent.parent)
    text = json.dumps([[str(word) for word in command] for command in commands])
    done = subprocess.run(
        [sys.executable, str(program), text],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])


def test_commands_do_not_import_from_the_current_folder(
    hostile: Path,
    spec_files: dict[str, Path],
    bundles: dict[str, Path],
    images: Path,
    tmp_path: Path,
) -> None:
    detector, recognizer = bundles["detector"], bundles["recognizer"]
    out, image = tmp_path / "out", images / "0.png"
    out.mkdir()
    spec = spec_files["recognizer"]
    commands: list[list[object]] = [
        ["init", spec.with_suffix(".onnx"), "--role", "recognizer", "--output", out / "a.yaml"],
        ["inspect", spec, "--verify"],
        ["build", spec, "--target", "onnxruntime", "--calibration", images, "--data", images,
         "--output", out / "built", "--duration", "0.05", "--precision", "best"],
        ["bench", detector, recognizer, "--data", images, "--report", out / "report",
         "--duration", "0.05", "--competitors", "--roofline", "--load", "--concurrency", "1"],
        ["optimize", spec, "--data", images, "--max-widths", "2", "--draw", out / "widths.svg"],
        ["optimize", recognizer],
        ["run", images, "--detector", detector, "--recognizer", recognizer, "--workers", "2",
         "--draw", out / "drawn"],
        ["debug", recognizer, "--data", images, "--output", out / "debug"],
        ["bundle", "diff", detector, recognizer],
        ["schema", "spec"], ["cache", "show"], ["doctor"], ["plugins", "list"],
        ["run", image, "--detector", detector, "--recognizer", recognizer],
    ]  # fmt: skip
    run(commands, tmp_path)
    assert not hostile.exists(), hostile.read_text()


@pytest.mark.full
def test_tensorflow_does_not_import_from_the_current_folder(
    hostile: Path, tensorflow_spec: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options: list[object] = ["--calibration", images, "--duration", "0.05", "--output", out]
    targets = ["--target", "openvino"]
    run(
        [
            ["inspect", tensorflow_spec, "--verify"],
            ["build", tensorflow_spec, *options, *targets],
            ["bench", out / "tf-det-openvino-int8", "--duration", "0.05", "--competitors"],
            ["debug", out / "tf-det-openvino-int8", "--data", images],
        ],
        tmp_path,
    )
    assert not hostile.exists(), hostile.read_text()


def test_training_process_does_not_import_from_the_current_folder(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f":{os.environ.get('PYTHONPATH', '')}:.")
    assert [*prefetched(operator.neg, range(3))] == [0, -1, -2]
    assert not hostile.exists(), hostile.read_text()
