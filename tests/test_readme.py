"""The README: its commands run, its links exist, its tables match the program."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocr_trt.cli.app import app
from ocr_trt.common.cpu import has_bf16
from ocr_trt.engines.targets import backend, target_names
from tests.cli.in_process import succeeds
from tests.serve.client import start

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
TARGETS = (ROOT / "docs" / "targets.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


@pytest.fixture(scope="module")
def workplace(
    detector_model: Path, recognizer_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the files that the README's commands name."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(detector_model, folder / "my_detector")
    shutil.copytree(recognizer_model, folder / "my_recognizer")
    samples = ROOT / "models" / "samples"
    for name, source in (("images", "calibration"), ("labeled", "test")):
        (folder / name).mkdir()
        for file in sorted((samples / source).glob("*.jpg"))[:2]:
            shutil.copy(file, folder / name)
    labels = (samples / "test" / "labels.json").read_text().splitlines()
    (folder / "labeled" / "labels.json").write_text("[" + "".join(labels[1:3]).rstrip(",") + "]")
    image = np.full((64, 96, 3), 200, np.uint8)
    cv2.imwrite(str(folder / "photo.jpg"), image)
    return folder


@pytest.mark.full
def test_commands_of_the_readme_run(workplace: Path) -> None:
    own = [command for command in commands() if command[0] == "ocr-trt"]
    assert len(own) >= 6
    for command in own:
        if command[1] == "build":
            allow_any_loss(workplace)
        if command[1] == "serve":  # runs until it is stopped
            running = start(*command[2:], cwd=workplace)
            photo = (workplace / "photo.jpg").read_bytes()
            assert running.ask("/v1/ocr", photo, content_type="image/jpeg").status == 200
            assert running.stop() == 0
            continue
        succeeds(*command[1:], cwd=workplace)
    (code,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workplace, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def allow_any_loss(folder: Path) -> None:
    """Raise the budgets, because these models have random weights and read nothing."""
    for role in ("detector", "recognizer"):
        spec = folder / f"{role}.yaml"
        spec.write_text(re.sub(r"max_loss: \S+", "max_loss: 100", spec.read_text()))


def test_readme_fits_on_two_screens() -> None:
    assert len(README.splitlines()) <= 120


def test_make_and_pip_lines_name_existing_targets_and_extras() -> None:
    makefile = (ROOT / "Makefile").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    for command in commands():
        if command[0] == "make":
            assert re.search(rf"^{command[1]}:", makefile, re.M)
        if "pip" in command[0] and (extras := re.search(r"\[(.*)\]", command[-1])):
            assert all(f"\n{extra} = [" in project for extra in extras[1].split(","))


def test_tables_name_every_command_and_target() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"`ocr-trt {command.callback.__name__}" in COMMANDS
    for name in target_names():
        (row,) = re.findall(rf"^\| `{name}` \| ([^|]*) \|", TARGETS, re.M)
        stated = row.strip().replace("bf16 if the CPU has it", "bf16" if has_bf16() else "")
        assert stated.replace(", ,", ",") == ", ".join(backend(name).precisions)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_exist(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_paths_in_the_documents_exist(document: str) -> None:
    """Paths in backticks are relative to the root, or to a folder named on the same line."""
    text = (ROOT / document).read_text()
    for line in text.splitlines():
        paths = re.findall(r"`([\w./]+/[\w.]*)`", line)
        folders = [ROOT, *(ROOT / path for path in paths)]
        for path in paths:
            assert any((folder / path).exists() for folder in folders), path
    names = {path.name for path in ROOT.rglob("*.py")}
    for name in re.findall(r"`(\w+\.py)`", text):
        assert name in names, name


def test_map_names_every_folder_and_root_file() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    folders = {f"{path.split('/')[0]}/" for path in listed if "/" in path and path[0] != "."}
    files = {path for path in listed if "/" not in path and path.endswith(".py")}
    assert [name for name in sorted(folders | files) if f"`{name}`" not in text] == []
