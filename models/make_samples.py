"""Draws the sample pictures that come with the package: for the demo, its verdicts and its
calibration.

    python -m ocr_trt.models.make_samples

``samples/test``: held-out fonts and words, with labels. ``samples/calibration``: training fonts,
other pictures than any that were trained on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2

from .reference import SAMPLES
from .synthetic import Scene, scene
from .synthetic.fonts import Split

_SEED = 7_000_000
_SETS: tuple[tuple[str, Split, tuple[int, ...]], ...] = (
    (
        "test",
        "held-out",
        (1, 2, 4, 6, 9, 11, 24, 26, 29, 30, 33, 36, 38, 40, 42, 56, 57, 59, 61, 62),
    ),
    ("calibration", "train", (4, 6, 11, 20, 28, 29, 31, 33, 34, 35, 36, 43, 45, 48, 54, 55)),
)
"""Scene numbers, chosen for 8 to 60 legible and inoffensive words each."""
_JPEG_QUALITY = 88


def _entry(name: str, sample: Scene) -> dict[str, Any]:
    boxes = [
        {"polygon": [round(float(v), 1) for v in box.quad.reshape(-1)], "text": box.text}
        for box in sample.boxes
    ]
    return {"file": name, "boxes": boxes}


def make_samples(folder: Path = SAMPLES) -> None:
    """Write both sets, each with its ``labels.json``.

    Raises:
        InputFileError: fonts or the word list are not installed.
    """
    for set_name, split, numbers in _SETS:
        target = folder / set_name
        target.mkdir(parents=True, exist_ok=True)
        entries = []
        for place, number in enumerate(numbers, 1):
            sample = scene(number, split=split, seed=_SEED)
            name = f"{set_name}_{place:02d}.jpg"
            quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            cv2.imwrite(str(target / name), sample.image[:, :, ::-1], quality)
            entries.append(_entry(name, sample))
        text = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
        (target / "labels.json").write_text(text.replace('{"file"', '\n{"file"') + "\n", "utf-8")


if __name__ == "__main__":
    make_samples()
