from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ocr_trt.calibration.pictures import load_calibration
from ocr_trt.errors import InputFileError
from ocr_trt.spec import DetectorSpec, RecognizerSpec, spec_from_dict

INPUT = {"name": "x", "mean": [0.0], "scale": [1.0]}


def detector() -> DetectorSpec:
    spec = spec_from_dict(
        {
            "name": "d", "role": "detector", "source": {"path": "m"}, "output": {"name": "y"},
            "input": {**INPUT, "shape": [1, 32, 64, 3]},
        }
    )  # fmt: skip
    assert isinstance(spec, DetectorSpec)
    return spec


def recognizer() -> RecognizerSpec:
    spec = spec_from_dict(
        {
            "name": "r", "role": "recognizer", "source": {"path": "m"}, "output": {"name": "y"},
            "input": {**INPUT, "shape": [1, 32, 128, 1], "color": "GREY"}, "buckets": [96],
        }
    )  # fmt: skip
    assert isinstance(spec, RecognizerSpec)
    return spec


def test_detector_batches_are_all_pictures_each_another(pictures: Path) -> None:
    found = load_calibration(pictures, detector())
    batches = [batch for _, batch in found.batches()]
    assert len(found) == len(batches) == 3
    assert batches[0].shape == (1, 3, 32, 64)
    assert len({batch.tobytes() for batch in batches}) == 3


def test_recognizer_batches_are_crops_in_their_buckets(pictures: Path) -> None:
    found = list(load_calibration(pictures, recognizer()).batches())
    assert [width for width, _ in found] == [96, 96, 96]
    assert found[0][1].shape == (1, 1, 32, 96)


def test_limit_takes_an_even_spread(pictures: Path) -> None:
    found = load_calibration(pictures, detector(), limit=2)
    everything = [b for _, b in load_calibration(pictures, detector()).batches()]
    chosen = [b for _, b in found.batches()]
    assert len(found) == len(chosen) == 2
    assert np.array_equal(chosen[0], everything[0])
    assert np.array_equal(chosen[1], everything[2])


def test_unlabelled_pictures_are_lines_for_a_recognizer(pictures: Path) -> None:
    (pictures / "labels.json").unlink()
    assert len(load_calibration(pictures, recognizer())) == 3


def test_a_bad_picture_stops_and_is_named(pictures: Path) -> None:
    (pictures / "1.png").write_bytes(b"no picture")
    with pytest.raises(InputFileError, match=r"1\.png"):
        list(load_calibration(pictures, detector()).batches())


def test_labels_without_text_cannot_calibrate_a_recognizer(pictures: Path) -> None:
    (pictures / "labels.json").write_text(json.dumps([{"file": "0.png", "boxes": []}]))
    with pytest.raises(InputFileError, match="nothing a recognizer can be calibrated on"):
        load_calibration(pictures, recognizer())
