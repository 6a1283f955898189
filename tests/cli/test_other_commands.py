"""``ocr-trt debug`` and ``ocr-trt plugins`` from the command line, on small inputs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ocr_trt.cli import app as app_module
from ocr_trt.plugins.registry import PLUGINS
from tests.cli.in_process import fails, run, succeeds


def test_debug_reports_the_worst_image(
    spec_files: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    output = tmp_path / "bundles"
    options = ("--calibration", images, "--duration", "0.05", "--output", output, "--json")
    (row,) = json.loads(succeeds("build", spec_files["detector"], *options))
    text = succeeds("debug", row["bundle"], "--data", images, "--output", tmp_path / "page")
    assert ".png" in text
    files = sorted(path.name for path in (tmp_path / "page").iterdir())
    assert files == ["debug.html", "debug.json"]
    missing = run("debug", row["bundle"], "--data", tmp_path / "none")
    fails(missing, 2, "none", "no such file or folder")
    (page,) = [(tmp_path / "page" / "debug.html").read_text()]
    (link,) = re.findall(r'href="([^"#]*precision.html)"', page)
    assert (tmp_path / "page" / link).is_file()


def test_plugins_are_listed(tmp_path: Path) -> None:
    text = succeeds("plugins")
    assert all(name in text for name in PLUGINS)
    assert set(json.loads(succeeds("plugins", "--json"))) == set(PLUGINS)
    fails(run("plugins", "list", "--output", tmp_path), 2, "--output", "compile")


def test_missing_package_is_an_error_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_onnxscript(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'onnxscript'", name="onnxscript.rewriter")

    monkeypatch.setattr(app_module, "app", without_onnxscript)
    fails(run("doctor"), 2, "onnxscript", "pip install 'ocr-trt[tf]'")
