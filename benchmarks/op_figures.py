"""Differences between the ops around engines and the pipeline on the CPU, as in the ops' READMEs.

    python benchmarks/op_figures.py

It runs the ops' NumPy references, which the kernels are verified against, on the sample images.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from ocr_trt.models.reference_models import SAMPLES, spec_path, trained_model
from ocr_trt.ocr.box_candidates import boxes_from_candidates, candidates_from_outputs
from ocr_trt.ocr.boxes import boxes_from_map
from ocr_trt.ocr.crop import crop_quad, crop_size
from ocr_trt.ocr.dataset import SceneLabel, load_dataset
from ocr_trt.ocr.detector import boxes_in_image, detector_input
from ocr_trt.ocr.image import load_image
from ocr_trt.ocr.metrics.detection import count_image, detection_score
from ocr_trt.ocr.metrics.recognition import recognition_score
from ocr_trt.ocr.preprocess import resize, width_at_height
from ocr_trt.ocr.recognizer import bucket_of, recognizer_input, texts_from_output
from ocr_trt.ocr.types import Image
from ocr_trt.plugins.box_candidates import box_candidates
from ocr_trt.plugins.crop_warp import crop_attributes, crop_warp
from ocr_trt.plugins.image_inputs import COLORS
from ocr_trt.plugins.image_to_tensor import image_to_tensor
from ocr_trt.spec import load_spec

_GRAY = (np.zeros(1, np.float32), np.ones(1, np.float32))
_COLOR = (np.zeros(3, np.float32), np.ones(3, np.float32))


def scenes() -> Iterator[tuple[SceneLabel, Image]]:
    for scene in load_dataset(SAMPLES / "test").scenes:
        yield scene, load_image(scene.path)


def resizing() -> None:
    """Print mean and largest difference in gray levels of resized images."""
    images = [image for _, image in scenes()][:5]
    for side, area in ((640, 0), (960, 0), (320, 1), (426, 1), (426, 0)):
        sizes = dict.fromkeys(("rows", "columns", "height", "width"), side)
        attributes = {**sizes, "pad": 0, "area": area, "to": 1}
        cells = []
        for color, rest in (("RGB", _COLOR), ("GRAY", _GRAY)):
            far = []
            for image in images:
                own = image_to_tensor((image, COLORS[color], *rest), attributes)[0]
                small = resize(image, side, side)
                if color == "GRAY":
                    small = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[..., None]
                far.append(np.abs(own - small.transpose(2, 0, 1)))
            cells.append(f"{np.mean(far):.2f}, {np.max(far):.2f}")
        print(f"ImageToTensor 640 -> {side}, area = {area}: RGB {cells[0]}; gray {cells[1]}")


def cropping() -> None:
    """Print the differences between crops of words in gray levels, CER and texts."""
    spec, model = load_spec(spec_path("recognizer")), trained_model("recognizer")
    color = (COLORS["GRAY"], *_GRAY)
    feeds: dict[int, list[tuple[int, Any, Any]]] = defaultdict(list)
    truth, far = [], []
    mean, scale = float(spec.input.mean[0]), float(spec.input.scale[0])
    for scene, image in scenes():
        for quad, text, skip in zip(scene.quads, scene.texts, scene.ignore, strict=True):
            if skip or not text:
                continue
            crop = crop_quad(image, quad)
            width = bucket_of(crop, spec)
            levels = crop_warp((image, quad[None], *color), crop_attributes(spec.input, width))
            own = (levels - mean) * scale
            expected = recognizer_input([crop], spec.input, width)
            columns = min(width, width_at_height(crop_size(quad), spec.input.height))
            far.append(np.abs(own - expected)[..., :columns].ravel() / scale)
            feeds[width].append((len(truth), own, expected))
            truth.append(text)
    texts: list[list[str]] = [[""] * len(truth), [""] * len(truth)]
    for members in feeds.values():
        for kind in (0, 1):
            images = np.concatenate([member[1 + kind] for member in members])
            logits = np.asarray(model(images.transpose(0, 2, 3, 1), training=False))
            for member, reading in zip(members, texts_from_output(logits, spec), strict=True):
                texts[kind][member[0]] = reading.text
    levels = np.concatenate(far)
    own, expected = (100 * recognition_score(read, truth).cer for read in texts)
    print(
        f"CropWarp, {len(truth)} words: gray levels {levels.mean():.2f}, "
        f"{np.percentile(levels, 99):.2f}, {levels.max():.1f}; CER {own:.2f}, the pipeline's "
        f"{expected:.2f}; {sum(a != b for a, b in zip(*texts, strict=True))} texts differ"
    )


def finding() -> None:
    """Print the differences between boxes of candidates and boxes of maps."""
    spec, model = load_spec(spec_path("detector")), trained_model("detector")
    counts: tuple[list, list] = ([], [])
    seconds: tuple[list[float], list[float]] = ([], [])
    threshold = np.array([spec.boxes.threshold], np.float32)
    sizes, off = [], [0.0]
    for scene, image in scenes():
        feed, fit = detector_input(image, spec.input, spec.input.size)
        found = np.asarray(model(feed.transpose(0, 2, 3, 1), training=False))[0, ..., 0]
        (candidates,) = candidates_from_outputs(box_candidates(found[None], threshold, 256, 4096))
        assert candidates.missing == 0
        sizes.append(4 + 16 * candidates.count + 8 * len(candidates.extents))
        boxes = []
        for kind, (function, given) in enumerate(
            ((boxes_from_map, (found,)), (boxes_from_candidates, (candidates, found.shape)))
        ):
            start = time.perf_counter()
            boxes.append(function(*given, spec.boxes))
            seconds[kind].append(time.perf_counter() - start)
            quads, _ = boxes_in_image(boxes[-1], found.shape, fit, image.shape[:2])
            counts[kind].append(count_image(quads, scene.quads, scene.ignore))
        off += [float(np.abs(a - b).max(initial=0)) for a, b in zip(*boxes, strict=True)]
    hmeans = [100 * detection_score(own).hmean for own in counts]
    times = [1e3 * statistics.median(own) for own in seconds]
    print(
        f"BoxCandidates: {min(sizes)} to {max(sizes)} bytes a map, median "
        f"{statistics.median(sizes):.0f}; hmean {hmeans[1]:.2f}, of maps {hmeans[0]:.2f}; quads "
        f"and scores differ by {max(off):.1e}; {times[1]:.1f} ms on the host, "
        f"of maps {times[0]:.1f}"
    )


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    resizing()
    cropping()
    finding()


if __name__ == "__main__":
    main()
