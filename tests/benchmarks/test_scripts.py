"""The scripts of benchmarks/ start, and their README lists all of them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.name for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text())


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_has_help(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if script in ("op_figures.py", "quantizers.py"):
        pytest.importorskip("tensorflow")
    monkeypatch.syspath_prepend(BENCHMARKS)  # as for a script
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")
    assert done.value.code == 0
    assert f"usage: {script}" in capsys.readouterr().out


def test_readme_lists_the_scripts() -> None:
    text = (BENCHMARKS / "README.md").read_text("utf-8")
    assert [script for script in SCRIPTS if f"`{script}" not in text] == []
