"""``ocr-trt build``: bundles, verdicts and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from tests.cli.in_process import fails, run, succeeds

CALIBRATION = ("--calibration", "images")
QUICK = ("--duration", "0.05")
"""Seconds of timing; no test here depends on how fast an engine is."""


def test_build_prints_its_verdict(
    spec_files: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    text = succeeds(
        "build", spec_files["detector"], "--calibration", images, "--data", images,
        "--target", "openvino", "--target", "onnxruntime", "--output", tmp_path / "out", *QUICK,
    )  # fmt: skip
    assert "Verdict: engine / source in onnxruntime" in text
    assert "hmean" in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "det-onnxruntime-int8",
        "det-openvino-int8",
    ]


def test_build_accepts_a_model_in_place_of_a_spec(
    spec_files: dict[str, Path], tmp_path: Path
) -> None:
    text = succeeds(
        "build", spec_files["detector"].with_suffix(".onnx"), "--role", "detector",
        "--input", "image:1x3x32x32", "--mean", "127.5", "--scale", "0.0078",
        "--precision", "fp32", "--output", tmp_path, "--json", *QUICK,
    )  # fmt: skip
    (built,) = json.loads(text)
    spec = yaml.safe_load((Path(built["bundle"]) / "spec.yaml").read_text())
    assert spec["input"]["shape"] == [1, 3, 32, 32]
    assert spec["input"]["mean"] == [127.5]


def test_order_of_weight_corrections_is_fixed(
    spec_files: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    succeeds(
        "build", spec_files["detector"], "--calibration", images, "--output", tmp_path, "--quiet",
        "--weight-correction", "bias", "--weight-correction", "equalize", "--everywhere",
        "--method", "percentile", *QUICK,
    )  # fmt: skip
    manifest = json.loads((tmp_path / "det-auto-int8" / "manifest.json").read_text())
    assert manifest["calibration"]["corrections"] == ["equalize", "bias"]
    assert manifest["calibration"]["method"] == "percentile"


def spec_with(specs: dict[str, Path], folder: Path, path: str, value: Any) -> Path:
    """Write the detector's spec with one value changed; ``path`` has dots between its keys."""
    data = yaml.safe_load(specs["detector"].read_text())
    *parents, last = path.split(".")
    part = data
    for parent in parents:
        part = part[parent]
    part[last] = value
    (folder / "spec.yaml").write_text(yaml.safe_dump(data))
    return folder / "spec.yaml"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("unpit", {}, "unpit: unknown key; did you mean input?"),
        ("input.shap", [1], "input.shap: unknown key; did you mean shape?"),
        ("input.shape", "big", "input.shape"),
        ("input.layout", "NHCW", "did you mean NHWC?"),
        ("input.color", "grey", "did you mean GRAY?"),
        ("role", "detectr", "did you mean detector?"),
        ("source.path", "nothing", "no such file or folder"),
        ("output.name", "y", "'y'"),
    ],
)
def test_build_refuses_a_wrong_spec(
    spec_files: dict[str, Path], tmp_path: Path, path: str, value: Any, message: str
) -> None:
    spec = spec_with(spec_files, tmp_path, path, value)
    fails(run("build", spec, "--precision", "fp32", "--output", tmp_path / "out"), 2, message)
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    ("path", "value", "facts"),
    [
        ("source.signature", "other", ["no signature named 'other'", "serv"]),
        ("input.name", "picture", ["no input named 'picture'", "image"]),
    ],
)
def test_build_refuses_a_spec_that_contradicts_its_model(
    tensorflow_spec: Path, tmp_path: Path, path: str, value: Any, facts: list[str]
) -> None:
    spec = spec_with({"detector": tensorflow_spec}, tmp_path, path, value)
    fails(run("build", spec, "--precision", "fp32", "--output", tmp_path / "out"), 2, *facts)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["--precision", "int8"], ["--calibration DIR"]),
        (["--precision", "fp32", "--output", "/proc/nothing"], ["cannot be written"]),
        (["--precision", "fp32", "--data", "nothing"], ["nothing: no such folder"]),
        (["--precision", "fp32", "--option", "workspace=512"], ["add --target tensorrt"]),
        (["--precision", "fp32", "-O", "plugins=yes"], ["openvino have no such option"]),
        (["--precision", "fp32", "-O", "plugins"], ["expected NAME=VALUE"]),
        (["--precision", "fp32", "--output", "x" * 300 + "/y"], ["File name too long"]),
    ],
)
def test_build_refuses_wrong_options(
    spec_files: dict[str, Path], tmp_path: Path, arguments: list[str], facts: list[str]
) -> None:
    fails(run("build", spec_files["detector"], *arguments, cwd=tmp_path), 2, *facts)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["damaged.kera"], ["damaged.kera: no such file", "did you mean damaged.keras?"]),
        (["damaged.keras", "--precision", "int8"], ["needs calibration images"]),
        (["damaged.keras", "--calibration", "image"], ["image: no such", "did you mean images?"]),
        (["damaged.keras", "--calibration", "images", "--detector", "no"], ["no: no such file"]),
        (["damaged.keras", "--precision", "fp32", "-O", "worksp=1"], ["worksp"]),
        (
            ["damaged.keras", "--target", "openvino", "--precision", "fp16", *CALIBRATION],
            ["openvino cannot compute in fp16", "fp32"],
        ),
        (["damaged.keras", "--precision", "fp32", "--constant", "a=b.npy"], ["b.npy: no such"]),
    ],
)
def test_options_are_checked_before_the_model_is_loaded(
    tmp_path: Path, arguments: list[str], facts: list[str]
) -> None:
    (tmp_path / "damaged.keras").write_text("no model")
    (tmp_path / "images").mkdir()
    fails(run("build", *arguments, "--role", "detector", cwd=tmp_path), 2, *facts)


def test_two_specs_with_one_name_are_refused_before_any_work(
    spec_files: dict[str, Path], tmp_path: Path
) -> None:
    data = yaml.safe_load(spec_files["recognizer"].read_text())
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({**data, "name": "det"}))
    done = run("build", spec_files["detector"], other, "--precision", "fp32", cwd=tmp_path)
    fails(done, 2, "two specs are named 'det'")
    assert not (tmp_path / "bundles").exists()


def test_over_budget_is_exit_4_and_nothing_is_left(
    spec_files: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    # Ranges from nearly black images clip almost every value on noise.
    (images / "labels.json").unlink()
    dark = tmp_path / "dark"
    dark.mkdir()
    cv2.imwrite(str(dark / "a.png"), np.full((48, 80, 3), 1, np.uint8))
    data = yaml.safe_load(spec_files["recognizer"].read_text())
    spec = tmp_path / "strict.yaml"
    spec.write_text(yaml.safe_dump({**data, "accuracy": {"max_loss": 0.3}}))
    options = ("--calibration", dark, "--data", images, "--output", tmp_path / "out", *QUICK)
    done = run("build", spec, *options)
    fails(done, 4, "accuracy.max_loss 0.3")
    assert list((tmp_path / "out").iterdir()) == []
