"""Without the extras: what needs one names it and the pip command; everything else works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import base_install

ROOT = Path(__file__).parents[2]
WORKS = ("run ", "bundle show", "bundle verify", "bundle diff", "cache", "doctor", "schema")
"""Commands that work in the base install."""


@pytest.fixture
def folder(
    spec_files: dict[str, Path], bundles: dict[str, Path], shared_images: Path, tmp_path: Path
) -> Path:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    for role, name in (("detector", "det"), ("recognizer", "rec")):
        shutil.copy(spec_files[role], inputs)
        shutil.copytree(bundles[role], inputs / name)
    shutil.copytree(shared_images, inputs / "images")
    return inputs


def check(python: str, folder: Path, *options: str) -> None:
    work = folder.parent / "work"
    work.mkdir()
    environment = {**os.environ, "XDG_CACHE_HOME": str(work / "cache")}
    if python != sys.executable:
        environment.pop("PYTHONPATH", None)  # it could lead to another copy than the installed one
    done = subprocess.run(
        [python, base_install.__file__, str(folder), str(work), *options],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) > 30
    for answer in answers:
        text, errors = answer["line"], answer["errors"]
        assert "internal error" not in errors, answer
        assert "No module named" not in errors, answer
        if text.startswith(WORKS) or (text.startswith("bench det rec")):
            assert answer["code"] == 0, answer
        elif text.startswith(("init", "inspect m.", "inspect saved", "build", "demo", "train")):
            assert answer["code"] == 2, answer
        if text.startswith(("init", "build detector.yaml --target o", "demo", "train")):
            assert "pip install 'ocr-trt[tf]'" in errors, answer
        if text.startswith("serve"):
            assert answer["code"] == 2, answer
            assert "pip install 'ocr-trt[serve]'" in errors, answer
        if text.startswith("export"):
            assert answer["code"] == 2, answer
            assert "pip install 'ocr-trt[triton]'" in errors, answer
    assert not (work / "demo").exists()
    assert not (work / "run").exists()


def test_base_install_names_the_extras(folder: Path) -> None:
    check(sys.executable, folder, "--hide")


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_real_base_install_names_the_extras(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    python = str(home / "bin" / "python")
    copy = tmp_path / "source"  # building writes into the source folder
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=ignored)
    install = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", str(copy)], capture_output=True, text=True
    )
    if "No matching distribution" in install.stderr or "Connection" in install.stderr:
        pytest.skip("the package index cannot be reached")
    assert install.returncode == 0, install.stderr
    check(python, folder)
