"""The wheel contains all files that the program reads, and works without the repository."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOT_INSTALLED = ("README.md",)
"""Names of files beside the code that only readers of the repository need."""


def _packages() -> list[Path]:
    """Return the folders of all packages in the wheel."""
    text = (ROOT / "pyproject.toml").read_text()
    (block,) = re.findall(r"^\[tool\.setuptools\]\n.*?^packages = \[\n(.*?)^\]", text, re.M | re.S)
    names = re.findall(r'"ocr_trt([\w.]*)"', block)
    return [ROOT.joinpath(*name.split(".")) for name in names]


def _patterns() -> Iterator[Path]:
    """Yield the patterns of all data files, as paths."""
    text = (ROOT / "pyproject.toml").read_text()
    (block,) = re.findall(r"^\[tool\.setuptools\.package-data\]\n(.*?)\n\n", text, re.M | re.S)
    for name, listed in re.findall(r'^"ocr_trt([\w.]*)" = \[(.*?)\]', block, re.M):
        for pattern in re.findall(r'"([^"]+)"', listed):
            yield ROOT.joinpath(*name.split("."), pattern)


def test_data_files_are_in_the_wheel() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a git repository")
    patterns = [str(pattern) for pattern in _patterns()]
    folders = [folder for folder in _packages() if folder != ROOT]
    missing = [
        name
        for name in filter(None, tracked.stdout.split("\0"))
        if not name.endswith((".py", *NOT_INSTALLED))
        and any((ROOT / name).is_relative_to(folder) for folder in folders)
        and not any(fnmatch.fnmatch(str(ROOT / name), pattern) for pattern in patterns)
    ]
    assert missing == [], "list them in [tool.setuptools.package-data] of pyproject.toml"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the tracked files; install it without its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "source").mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip("not a git repository")
    subprocess.run(["tar", "-x", "-C", folder / "source"], input=archive.stdout, check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "wheel", "--no-deps", "--wheel-dir", folder, folder / "source"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"no wheel can be built here: {built.stderr[-300:]}")
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    return target


def _run(site: Path, cwd: Path, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-P", site / "bin" / "ocr-trt", *map(str, arguments)]
        if sys.version_info >= (3, 11)
        else [sys.executable, site / "bin" / "ocr-trt", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(cwd / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.full
def test_program_runs_from_the_wheel(site: Path, tmp_path: Path) -> None:
    for command in (
        ("--help",), ("--version",), ("models",), ("doctor",), ("plugins",), ("schema", "spec"),
    ):  # fmt: skip
        assert _run(site, tmp_path, *command)
    where = "import ocr_trt, sys; print(ocr_trt.__file__)"
    env = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", where]
    found = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=True)
    assert str(site) in found.stdout.decode()


@pytest.mark.full
@pytest.mark.timeout(1800)  # builds, measures and runs a model in processes of their own
def test_reference_recognizer_is_built_from_the_wheel(site: Path, tmp_path: Path) -> None:
    """Uses weights, samples, specs and page templates of the wheel."""
    pytest.importorskip("tensorflow")
    _run(site, tmp_path, "models", "get", "reference", "--output", "models")
    spec, target = "models/recognizer.yaml", ("--target", "openvino", "--precision", "fp32")
    _run(site, tmp_path, "build", spec, *target, "--duration", 0.1, "--output", "bundles")
    (bundle,) = (tmp_path / "bundles").iterdir()
    samples = site / "ocr_trt" / "models" / "samples" / "test"
    more = ("--data", samples, "--duration", 0.1, "--report", "report")
    assert "reference-recognizer" in _run(site, tmp_path, "bench", bundle, *more)
    assert (tmp_path / "report" / "report.html").is_file()
    line = _run(site, tmp_path, "run", samples / "test_01.jpg", "--lines", "--recognizer", bundle)
    assert "test_01.jpg: " in line
