"""Draws the sample images of the package, for the demo's accuracy and its calibration.

    python -m ocr_trt.models.make_samples

``samples/test``: held-out fonts and words, with labels. ``samples/calibration``: training fonts,
but none of the training images.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2

from .reference_models import SAMPLES
from .synthetic import Scene, Word, scene
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
"""Set, split and scene numbers, chosen for 8 to 60 legible and inoffensive words each."""
_JPEG_QUALITY = 88


def _entry(name: str, sample: Scene) -> dict[str, Any]:
    boxes = [
        {"polygon": [round(float(v), 1) for v in box.quad.reshape(-1)], "text": box.text}
        for box in sample.boxes
    ]
    return {"file": name, "boxes": boxes}


def write_scenes(folder: Path, named: Iterable[tuple[str, Scene]]) -> None:
    """Write scenes as images of the given names (.jpg, .png), and their ``labels.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for name, sample in named:
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if name.endswith(".jpg") else []
        cv2.imwrite(str(folder / name), sample.image[:, :, ::-1], quality)  # OpenCV writes BGR
        entries.append(_entry(name, sample))
    write_labels(folder, entries)


def write_words(folder: Path, words: Iterable[Word]) -> None:
    """Write word crops as numbered images (.png), and their ``labels.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, sample in enumerate(words):
        cv2.imwrite(str(folder / f"{number:04d}.png"), sample.image[:, :, ::-1])
        entries.append({"file": f"{number:04d}.png", "text": sample.text})
    write_labels(folder, entries)


def write_labels(folder: Path, entries: list[dict[str, Any]]) -> None:
    """Write ``labels.json`` into a folder."""
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
    # One entry per line, so that differences between versions are readable.
    (folder / "labels.json").write_text(text.replace('{"file"', '\n{"file"') + "\n", "utf-8")


def make_samples(folder: Path = SAMPLES) -> None:
    """Write both sets, each with its ``labels.json``.

    Raises:
        InputFileError: fonts or the word list are not installed.
    """
    for set_name, split, numbers in _SETS:
        samples = (
            (f"{set_name}_{place:02d}.jpg", scene(number, split=split, seed=_SEED))
            for place, number in enumerate(numbers, 1)
        )
        write_scenes(folder / set_name, samples)


if __name__ == "__main__":
    make_samples()
