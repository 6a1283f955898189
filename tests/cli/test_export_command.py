"""``ocr-trt export``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.in_process import fails, run, succeeds


def test_export_writes_a_repository_and_notes(
    tmp_path: Path, detector_bundle: Path, recognizer_bundle: Path
) -> None:
    bundles = ("--detector", detector_bundle, "--recognizer", recognizer_bundle)
    done = run("export", "triton", *bundles, "--output", tmp_path / "repo")
    assert done.code == 0, done.stderr
    assert "ocr_recognizer_32x64" in done.stdout
    assert "--no-padding" in done.stderr
    options = ("--name", "x", "--no-padding", "--model-version", 2, "--workers", 3, "--json")
    result = json.loads(
        succeeds("export", "triton", *bundles, "--output", tmp_path / "b", *options)
    )
    assert result["pipeline"] == "x"
    assert result["models"] == ["x_detector_64x96", "x_recognizer_32x32", "x_recognizer_32x64"]
    assert any("bf16" in note for note in result["notes"])
    config = (tmp_path / "b" / "x" / "config.pbtxt").read_text()
    assert 'key: "workers"\n  value {\n    string_value: "3"' in config


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ((), "give --detector BUNDLE, or --lines"),
        (("--lines", "--detector", "d"), "exclude each other"),
        (("--detector", "nothing"), "nothing"),
        (("--lines", "--classifier", "c", "--both-ways"), "exclude each other"),
        (("--lines", "--name", "a/b"), "'a/b'"),
        (("--lines", "--max-batch", 0), "max-batch"),
    ],
)
def test_wrong_options(
    options: tuple[object, ...], fact: str, tmp_path: Path, recognizer_bundle: Path
) -> None:
    output = ("--recognizer", recognizer_bundle, "--output", tmp_path / "repo")
    fails(run("export", "triton", *output, *options), 2, fact)
    assert not (tmp_path / "repo").exists()


def test_without_tritonclient(
    tmp_path: Path, recognizer_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tritonclient.grpc", None)
    output = ("--recognizer", recognizer_bundle, "--output", tmp_path / "repo")
    fails(run("export", "triton", "--lines", *output), 2, "ocr-trt[triton]")
    assert not (tmp_path / "repo").exists()
