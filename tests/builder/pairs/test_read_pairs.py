"""The lines that pairs read: the same as those of the pipeline, with the same places."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ocr_trt.builder.pairs.read_pairs import read_with_pairs
from ocr_trt.common.progress import SilentReporter
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.pipeline.reader import OcrReader
from tests.pipeline.functions import (
    bright_is_text,
    brightness_as_letter,
    detector_spec,
    engine,
    recognizer_spec,
)


def test_curved_lines_keep_their_polygons(tmp_path: Path) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    # An arc around the center of the image, 8 pixels high.
    cv2.ellipse(image, (32, 40), (24, 24), 0, 190, 350, (200, 200, 200), 8)
    cv2.imwrite(str(tmp_path / "arc.png"), image)
    scenes = load_dataset(tmp_path).scenes
    spec = detector_spec()
    boxes = spec.boxes.model_copy(update={"shape": "polygon"})
    detector = engine(spec.model_copy(update={"boxes": boxes}), bright_is_text)[0]
    recognizer = engine(recognizer_spec(), brightness_as_letter)[0]
    result = read_with_pairs({"pair": (detector, recognizer)}, scenes, SilentReporter())["pair"]
    (line,) = OcrReader(detector, recognizer).read(scenes[0].image.read())
    assert line.polygon is not None
    assert len(line.polygon) > 4
    assert np.array_equal(result.boxes[0], [line.polygon]), "not the rectangle around it"
