"""Child processes do not run files of the current folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx.parser
import pytest

from ocr_trt.common.child_python import python_command
from ocr_trt.engines.targets import backend

HOSTILE = """
from pathlib import Path
Path({mark!r}).touch()
raise SystemExit("a file of the current folder ran")
"""
# Modules that each child imports, and the package itself.
NAMES = ("numpy", "json", "onnx", "runpy", "ocr_trt", "os", "dataclasses", "sitecustomize")


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that contains files with the names of modules; returns their mark."""
    folder, mark = tmp_path / "hostile", tmp_path / "mark"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(HOSTILE.format(mark=str(mark)))
    monkeypatch.chdir(folder)
    return mark


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_child_does_not_import_from_the_current_folder(hostile: Path) -> None:
    done = run(python_command("ocr_trt", "--version"))
    assert done.returncode == 0, done.stderr
    assert not hostile.exists()


def test_an_empty_entry_of_the_import_path_is_left_out(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notebooks and ``python -c`` have such an entry, which means the current folder."""
    monkeypatch.setattr(sys, "path", ["", str(Path.cwd()), *sys.path])
    assert run(python_command("ocr_trt", "--version")).returncode == 0
    assert not hostile.exists()


@pytest.mark.parametrize("path", ["", ":", ".", ":/nowhere", "/nowhere:"])
def test_an_empty_entry_of_pythonpath_is_left_out(
    path: str, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", path)
    assert run(python_command("ocr_trt", "--version")).returncode == 0
    assert not hostile.exists()


def test_plain_python_would_import_from_the_current_folder(hostile: Path) -> None:
    assert run([sys.executable, "-m", "ocr_trt", "--version"]).returncode != 0
    assert hostile.exists()


def test_builder_of_nvidia_does_not_import_from_the_current_folder(hostile: Path) -> None:
    target = backend("tensorrt-rtx")
    if not target.availability().can_build:
        pytest.skip("tensorrt-rtx is not installed")
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20]>
        g (float[1,3,4,4] x) => (float[1,3,4,4] y) { y = Relu (x) }
    """)
    assert target.refusals(model) == {}
    assert not hostile.exists()
