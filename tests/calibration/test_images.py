from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocr_trt.calibration.images import load_calibration
from ocr_trt.calibration.strata import stratified
from ocr_trt.errors import InputFileError
from ocr_trt.ocr.dataset import CropLabel, ImagePage
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
            "input": {**INPUT, "shape": [1, 32, 128, 1], "color": "GRAY"}, "buckets": [96],
        }
    )  # fmt: skip
    assert isinstance(spec, RecognizerSpec)
    return spec


def test_detector_batches_are_all_images_each_another(images: Path) -> None:
    found = load_calibration(images, detector())
    batches = list(found.batches())
    assert len(found) == len(batches) == 3
    assert batches[0].shape == (1, 3, 32, 64)
    assert len({batch.tobytes() for batch in batches}) == 3


def test_recognizer_batches_are_crops_in_their_buckets(images: Path) -> None:
    found = list(load_calibration(images, recognizer()).batches())
    assert [batch.shape[3] for batch in found] == [96, 96, 96]
    assert found[0].shape == (1, 1, 32, 96)


def test_limit_chooses_an_even_spread(images: Path) -> None:
    found = load_calibration(images, detector(), limit=2)
    everything = list(load_calibration(images, detector()).batches())
    chosen = list(found.batches())
    assert len(found) == len(chosen) == 2
    assert np.array_equal(chosen[0], everything[0])
    assert np.array_equal(chosen[1], everything[2])


def test_unlabeled_images_are_lines_for_a_recognizer(images: Path) -> None:
    (images / "labels.json").unlink()
    assert len(load_calibration(images, recognizer())) == 3


def test_a_bad_image_stops_and_is_named(images: Path) -> None:
    (images / "1.png").write_bytes(b"no image")
    with pytest.raises(InputFileError, match=r"1\.png"):
        list(load_calibration(images, detector()).batches())


@pytest.mark.parametrize("spec", [detector(), recognizer()], ids=["detector", "recognizer"])
def test_a_bad_image_is_left_out_by_name_on_request(
    spec: DetectorSpec | RecognizerSpec, images: Path
) -> None:
    (images / "1.png").write_bytes(b"no image")
    errors: list[str] = []
    found = list(load_calibration(images, spec).batches(lambda error: errors.append(str(error))))
    assert len(found) == 2
    assert len(errors) == 1
    assert "1.png" in errors[0]


def lines(folder: Path) -> list[tuple[int, int]]:
    """Write 60 lines: 50 wide and bright, 10 of all other kinds; return (width, contrast)."""
    folder.mkdir()
    kinds = [(128, 200)] * 50 + [(96, 200)] * 4 + [(128, 20)] * 4 + [(96, 20)] * 2
    rows = []
    for number, (width, contrast) in enumerate(kinds):
        line = np.full((32, width - 8, 3), 127 - contrast // 2, np.uint8)
        line[8:24] = 127 + contrast // 2 - number % 7
        cv2.imwrite(str(folder / f"{number:02d}.png"), line)
        rows.append({"file": f"{number:02d}.png", "text": "a"})
    (folder / "labels.json").write_text(json.dumps(rows))
    return kinds


def test_lines_of_every_width_and_contrast_are_chosen(tmp_path: Path) -> None:
    lines(tmp_path / "lines")
    found = list(load_calibration(tmp_path / "lines", recognizer(), limit=16).batches())
    assert len(found) == 16
    kinds = Counter((batch.shape[3], batch.std() > 40) for batch in found)
    assert kinds[96, False] == 2, "all there are"
    assert kinds[96, True] == 4, "all there are"
    assert kinds[128, False] == 4, "all there are"
    assert kinds[128, True] == 6, "the rest"
    again = list(load_calibration(tmp_path / "lines", recognizer(), limit=16).batches())
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_crops_that_are_given_are_used(images: Path) -> None:
    quad = np.float32([[0, 0], [60, 0], [60, 30], [0, 30]])
    crops = [CropLabel(image=ImagePage(path=images / "0.png"), text="", quad=quad)]
    found = list(load_calibration(images, recognizer(), crops=crops).batches())
    assert [batch.shape[3] for batch in found] == [96]
    with pytest.raises(InputFileError, match="no samples to calibrate a recognizer on"):
        load_calibration(images, recognizer(), crops=[])


@pytest.mark.parametrize(
    ("strata", "limit", "expected", "why"),
    [
        ("aaaa", 2, [0, 3], "one stratum is spread evenly"),
        ("aaab", 2, [0, 3], "one of each"),
        ("abbbbbb", 4, [0, 1, 3, 6], "what a small one does not fill goes to the others"),
        ("abc", 9, [0, 1, 2], "all, if there are fewer than expected"),
        ("", 3, [], "none of none"),
    ],
)
def test_stratified_choice(strata: str, limit: int, expected: list[int], why: str) -> None:
    assert stratified(strata, limit) == expected, why


def test_labels_without_text_cannot_calibrate_a_recognizer(images: Path) -> None:
    (images / "labels.json").write_text(json.dumps([{"file": "0.png", "boxes": []}]))
    with pytest.raises(InputFileError, match="no samples to calibrate a recognizer on"):
        load_calibration(images, recognizer())
