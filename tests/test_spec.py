from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ocr_trt.common.input_size import InputSize
from ocr_trt.errors import InputFileError, SpecError
from ocr_trt.spec import (
    AccuracyBudget,
    BoxSettings,
    DetectorSpec,
    RecognizerSpec,
    dump_spec,
    load_spec,
    spec_from_dict,
)

DETECTOR: dict[str, Any] = {
    "name": "det",
    "role": "detector",
    "source": {"path": "model"},
    "input": {"name": "image", "shape": [1, 640, 480, 3]},
    "output": {"name": "map"},
}
RECOGNIZER: dict[str, Any] = {
    "name": "rec",
    "role": "recognizer",
    "source": {"path": "model"},
    "input": {"name": "image", "shape": [1, 32, 320, 1], "color": "GRAY"},
    "output": {"name": "logits"},
    "buckets": [96, 160],
}


def changed(spec: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(spec)
    *parents, last = path.split(".")
    part = result
    for parent in parents:
        part = part.setdefault(parent, {})
    part[last] = value
    return result


def test_detector_spec_reads_sizes() -> None:
    spec = spec_from_dict(DETECTOR)
    assert isinstance(spec, DetectorSpec)
    assert (spec.input.height, spec.input.width, spec.input.channels) == (640, 480, 3)
    assert spec.input.shape_at(2, InputSize(64, 96)) == (2, 64, 96, 3)
    assert spec.input_sizes == ((640, 480),)


def test_channel_first_spec_reads_sizes() -> None:
    data = changed(changed(DETECTOR, "input.shape", [1, 3, 640, 480]), "input.layout", "NCHW")
    spec = spec_from_dict(data)
    assert (spec.input.height, spec.input.width, spec.input.channels) == (640, 480, 3)
    assert spec.input.shape_at(2, InputSize(64, 96)) == (2, 3, 64, 96)


def test_recognizer_widths_are_buckets_and_full_width_ascending() -> None:
    spec = spec_from_dict(changed(RECOGNIZER, "buckets", [160, 96, 96]))
    assert isinstance(spec, RecognizerSpec)
    assert spec.widths == (96, 160, 320)
    assert spec.input_sizes == ((32, 96), (32, 160), (32, 320))


def test_widths_of_a_free_plan_are_multiples_of_the_step() -> None:
    spec = spec_from_dict(changed(RECOGNIZER, "width_step", 8))
    assert isinstance(spec, RecognizerSpec)
    wide = spec.with_widths([30, 96]).free_widths
    assert wide[:4] == (30, 32, 40, 48)
    assert (wide[-1], max(np.diff(wide[:17])), max(np.diff(wide))) == (320, 8, 16)
    assert spec.model_copy(update={"width_step": None}).free_widths == ()
    assert spec.with_widths([spec.input.width]).free_widths == (spec.input.width,)


@pytest.mark.parametrize(
    ("spec", "path", "value", "message"),
    [
        (DETECTOR, "sorce", 1, "sorce: unknown key"),
        (DETECTOR, "input.colour", "RGB", "input.colour: unknown key; did you mean color?"),
        (DETECTOR, "input.shape", "640x480", "input.shape"),
        (DETECTOR, "input.shape", [1, 640, 480], "input.shape"),
        (DETECTOR, "input.shape", [1, 0, 480, 3], "from 1 to 16384"),
        (DETECTOR, "input.shape", [1, 640, 99999, 3], "from 1 to 16384"),
        (DETECTOR, "input.color", "GRAY", "color GRAY means 1 channels"),
        (DETECTOR, "input.mean", [1, 2], "mean must hold 1 or 3 numbers, got 2"),
        (DETECTOR, "input.scale", [float("nan")], "input.scale"),
        (DETECTOR, "input.max_batch", 0, "input.max_batch"),
        (DETECTOR, "name", "../up", "name"),
        (DETECTOR, "role", "reader", "role"),
        (DETECTOR, "version", 2, "version"),
        (DETECTOR, "boxes.threshold", 1.5, "boxes.threshold"),
        (DETECTOR, "source.format", "pickle", "source.format"),
        (RECOGNIZER, "blank", 200, "blank is 200, expected a class from 0 to 95"),
        (RECOGNIZER, "charset", "aa", "'a' more than once"),
        (RECOGNIZER, "buckets", [640], "buckets [640] must be from 1 to the width 320"),
    ],
)
def test_wrong_spec_is_explained(spec: dict[str, Any], path: str, value: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_from_dict(changed(spec, path, value), "my.yaml")
    assert "my.yaml" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_source_is_named() -> None:
    with pytest.raises(SpecError, match="source: Field required"):
        spec_from_dict({k: v for k, v in DETECTOR.items() if k != "source"})


def test_documented_defaults_are_the_defaults() -> None:
    assert BoxSettings() == BoxSettings(
        threshold=0.3,
        box_threshold=0.5,
        min_side=2.0,
        max_boxes=1000,
        max_candidates=None,
        dilate=False,
        score_mode="slow",
        unclip_ratio=1.5,
        shrink_ratio=None,
    )
    assert AccuracyBudget() == AccuracyBudget(max_loss=0.5, max_difference=1e-3)
    assert spec_from_dict(RECOGNIZER).accuracy.max_loss == 0.3


def test_dump_and_load_give_the_same_spec(tmp_path: Path) -> None:
    spec = spec_from_dict(RECOGNIZER)
    path = tmp_path / "spec.yaml"
    path.write_text(dump_spec(spec))
    loaded = load_spec(path)
    assert loaded.source.path == tmp_path / "model"
    assert loaded.model_copy(update={"source": spec.source}) == spec


def test_source_path_is_relative_to_the_spec(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(DETECTOR))
    assert load_spec(tmp_path / "spec.yaml").source.path == tmp_path / "model"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a mapping"),
        (b"- 1\n- 2\n", "expected a mapping"),
        (b"a: [1, 2", "not valid YAML"),
        (b"a: !!python/object/apply:os.system ['true']", "not valid YAML"),
        (b"\xff\xfe\x00", "cannot be read as a spec"),
        (b"a: " + b"[" * 5000, "not valid YAML"),
        (b"#" * (1 << 20) + b"\n", "262144 bytes"),
    ],
    ids=["empty", "list", "broken", "python object", "not text", "nested too deep", "too long"],
)
def test_hostile_spec_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(content)
    with pytest.raises((SpecError, InputFileError), match=message):
        load_spec(path)


def test_missing_spec_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"nothing\.yaml: no such file; name a spec"):
        load_spec(tmp_path / "nothing.yaml")
