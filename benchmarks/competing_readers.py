"""Accuracy and speed of ocr-trt against RapidOCR with the same PP-OCR weights.

    pip install '.[ppocr]' onnxruntime openvino
    ocr-trt demo --models ppocr
    B=demo-output/bundles/ppocr-v6-small
    python benchmarks/competing_readers.py $B-detector-openvino-fp32 $B-recognizer-openvino-fp32 \\
        models/samples/pages

RapidOCR runs with its own copies of the models, with the settings that the options name. Both read
one image after the other, in turns, in one process. Lines are compared without spaces: a line of
the labels counts as read if the text of the box that covers it best is the same.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from ocr_trt.ocr.dataset import SceneLabel, load_dataset
from ocr_trt.ocr.image import load_image
from ocr_trt.ocr.metrics.recognition import recognition_score
from ocr_trt.ocr.types import Image, Quads
from ocr_trt.pipeline.open_reader import open_reader
from ocr_trt.pipeline.reader import ReadSettings

Read = Callable[[Image], list[tuple[Quads, str]]]
_COVERED = 0.3
"""The smallest IoU of a box and a line of the labels."""


def our_reader(options: argparse.Namespace) -> Read:
    reader = open_reader(
        options.detector,
        options.recognizer,
        threads=options.threads,
        settings=ReadSettings(tiles=options.tiles),
    )
    return lambda image: [(line.quad, line.text) for line in reader.read(image).lines]


def rapidocr(options: argparse.Namespace, engine: str) -> Read:
    from rapidocr import EngineType, RapidOCR

    params = {
        "Global.log_level": "critical",
        "Global.use_cls": options.classifier,
        "Det.engine_type": EngineType(engine),
        "Rec.engine_type": EngineType(engine),
        "Cls.engine_type": EngineType(engine),
    }
    if options.limit_side:
        params |= {"Det.limit_side_len": options.limit_side, "Det.limit_type": options.limit_type}
    if options.threads:
        params["EngineConfig.onnxruntime.intra_op_num_threads"] = options.threads
        params["EngineConfig.openvino.inference_num_threads"] = options.threads
    reader = RapidOCR(params=params)

    def read(image: Image) -> list[tuple[Quads, str]]:
        found = reader(np.ascontiguousarray(image[:, :, ::-1]))  # BGR
        if found.boxes is None:
            return []
        return list(zip(np.asarray(found.boxes, np.float32), found.txts, strict=True))

    return read


def area_shared(one: Quads, other: Quads) -> float:
    """Return the IoU of two convex quadrilaterals (4, 2)."""
    shared, _ = cv2.intersectConvexConvex(one.astype(np.float32), other.astype(np.float32))
    areas = sum(cv2.contourArea(each.astype(np.float32)) for each in (one, other))
    return shared / max(1e-9, areas - shared)


def line_texts(found: Sequence[tuple[Quads, str]], scene: SceneLabel) -> list[tuple[str, str]]:
    """Return (read, label) of each labeled line, without spaces."""
    pairs = []
    for quad, label in zip(scene.quads, scene.texts, strict=True):
        shares = [area_shared(quad, box) for box, _ in found]
        best = int(np.argmax(shares)) if shares else 0
        text = found[best][1] if shares and shares[best] > _COVERED else ""
        pairs.append(("".join(text.split()), "".join((label or "").split())))
    return pairs


def accuracy(read: Read, scenes: Sequence[SceneLabel]) -> str:
    pairs = [pair for s in scenes for pair in line_texts(read(s.image.read()), s)]
    pairs = [pair for pair in pairs if pair[1]]
    score = recognition_score([one for one, _ in pairs], [two for _, two in pairs])
    exact = sum(one == two for one, two in pairs)
    return f"{exact} of {score.count} | {100 * score.cer:.2f}"


def timed(
    readers: dict[str, Read],
    images: Sequence[Image],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds of each reader for all images in each round, in turns by image."""
    seconds = {name: [0.0] * rounds for name in readers}
    for number in range(rounds):
        for image in images:
            for name, read in readers.items():
                start = clock()
                read(image)
                seconds[name][number] += clock() - start
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detector", help="bundle of a detector")
    parser.add_argument("recognizer", help="bundle of a recognizer")
    parser.add_argument("data", type=Path, nargs="+", help="labeled folders, or image files")
    parser.add_argument("--engines", nargs="*", default=["onnxruntime", "openvino"])
    parser.add_argument("--limit-side", type=int, help="RapidOCR's Det.limit_side_len")
    parser.add_argument("--limit-type", default="max", help="RapidOCR's Det.limit_type")
    parser.add_argument("--classifier", action="store_true", help="RapidOCR's direction classifier")
    parser.add_argument("--tiles", default="auto", choices=("auto", "on", "off"))
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of each model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time, for a machine with other load"
    )
    options = parser.parse_args()
    logging.disable(logging.WARNING)

    readers = {"ocr-trt": our_reader(options)}
    readers |= {f"RapidOCR, {name}": rapidocr(options, name) for name in options.engines}
    folders = [load_dataset(path) for path in options.data if path.is_dir()]
    scenes = [scene for folder in folders for scene in folder.scenes]
    images = [scene.image.read() for scene in scenes]
    images += [load_image(path) for path in options.data if path.is_file()]
    timed(readers, images[:1], 1)  # warm-up
    clock = time.process_time if options.cpu_time else time.perf_counter
    seconds = timed(readers, images, options.rounds, clock)
    print(f"{len(images)} images, medians of {options.rounds} interleaved rounds\n")
    print("| reader | ms per image | ratio | lines read exactly | CER |\n|---|---:|---:|---:|---:|")
    ours = seconds["ocr-trt"]
    for name, read in readers.items():
        median = 1000 * statistics.median(seconds[name]) / len(images)
        # The ratio of each round, because the machine's speed changes from round to round.
        ratio = statistics.median(a / b for a, b in zip(ours, seconds[name], strict=True))
        print(f"| {name} | {median:.0f} | {ratio:.2f} | {accuracy(read, scenes)} |")


if __name__ == "__main__":
    main()
