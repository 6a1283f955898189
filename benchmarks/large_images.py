"""Large images, whole and in tiles, and rotated words: the figures of docs/decisions/0017.

    ocr-trt demo
    python benchmarks/large_images.py demo-output

The images are mosaics of the labeled sample scenes, at their original scale.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.engine import Engine
from ocr_trt.models.reference_models import SAMPLES
from ocr_trt.ocr.boxes import order_corners
from ocr_trt.ocr.crop import crop_quad, ways_to_read
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.ocr.image import load_image
from ocr_trt.ocr.metrics.detection import count_image, detection_score
from ocr_trt.ocr.types import Image, Quads
from ocr_trt.pipeline.scales import detect_at_scales
from ocr_trt.pipeline.stages import detect, recognize

Scene = tuple[Image, Quads, tuple[bool, ...]]
_TURNED = 12
"""The number of scenes whose words are rotated."""


def mosaic(scenes: list[Scene], columns: int) -> Scene:
    """Combine scenes of one size to an image with so many columns."""
    side, quads, ignore = scenes[0][0].shape[0], [], []
    for number, (_, own, skip) in enumerate(scenes):
        quads.append(own + np.float32([number % columns * side, number // columns * side]))
        ignore += skip
    images = [scene[0] for scene in scenes]
    rows = [np.hstack(images[i : i + columns]) for i in range(0, len(scenes), columns)]
    return np.vstack(rows), np.concatenate(quads), tuple(ignore)


def mosaics(scenes: list[Scene]) -> Iterator[tuple[str, list[Scene]]]:
    yield "2x2", [mosaic(scenes[i : i + 4], 2) for i in range(0, 20, 4)]
    yield "3x3", [mosaic(scenes[i : i + 9], 3) for i in (0, 9)]
    yield "6x4", [mosaic([*scenes, *scenes[:4]], 6)]


def hmean(find: Callable[[Image], tuple], images: list[Scene]) -> float:
    counts = [count_image(find(image)[0], quads, skip) for image, quads, skip in images]
    return 100 * detection_score(counts).hmean


def turned_words(recognizer: Engine, turns: int) -> tuple[int, int, int]:
    """Rotate scenes by quarter turns and read their narrow words.

    Returns how many are read correctly with the best of all directions, how many there are, and how
    many are read correctly in the first direction.
    """
    truth, crops, ways = [], [], []
    for scene in load_dataset(SAMPLES / "test").scenes[:_TURNED]:
        image = np.ascontiguousarray(np.rot90(load_image(scene.path), turns))
        side = image.shape[0]
        for quad, text, skip in zip(scene.quads, scene.texts, scene.ignore, strict=True):
            x, y = quad[:, 0], quad[:, 1]
            turned = np.stack([y, side - x] if turns == 1 else [side - y, x], -1)
            found = [*ways_to_read(order_corners(turned.astype(np.float32))).values()]
            if skip or not text or len(found) == 1:
                continue
            truth.append(text)
            ways.append(len(found))
            crops += [crop_quad(image, way) for way in found]
    readings, start, best, plain = recognize(recognizer, crops), 0, 0, 0
    for text, count in zip(truth, ways, strict=True):
        own = readings[start : start + count]
        best += max(own, key=lambda reading: reading.score).text == text
        plain += own[0].text == text
        start += count
    return best, len(truth), plain


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="output folder of `ocr-trt demo`")
    folder = parser.parse_args().folder
    bundles = [
        load_bundle(folder / "bundles" / f"reference-{role}-openvino-int8")
        for role in ("detector", "recognizer")
    ]
    detector, recognizer = map(Engine.from_bundle, bundles)
    scenes = [
        (load_image(scene.path), scene.quads, scene.ignore)
        for scene in load_dataset(SAMPLES / "test").scenes
    ]
    with detector, recognizer:
        print(f"scenes alone: {hmean(lambda p: detect(detector, p), scenes):.1f}")
        for name, images in mosaics(scenes):
            whole = hmean(lambda p: detect(detector, p), images)
            tiles = hmean(lambda p: detect_at_scales(detector, p, max_shrink=1.0)[0], images)
            print(f"{name}: whole {whole:.1f}, tiles at all scales {tiles:.1f}")
        for turns, side in ((1, "left"), (-1, "right")):
            best, count, plain = turned_words(recognizer, turns)
            print(f"rotated {side}: {best} of {count} words read, {plain} in the first direction")


if __name__ == "__main__":
    main()
