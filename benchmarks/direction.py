"""Measure what a classifier and reading both ways gain and cost on turned pages.

python benchmarks/direction.py DETECTOR RECOGNIZER CLASSIFIER [--turns 0 180]

The arguments are bundles. Each sample page is turned and read. A
label is exact if a line has its text, apart from spaces; the CER counts the edits to the most
similar line. The time is that of the processor, not of the clock, because other programs change it
less.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rapidfuzz.distance import Levenshtein

from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.engine import Engine
from ocr_trt.models.reference_models import SAMPLES
from ocr_trt.ocr.crop import turned
from ocr_trt.ocr.dataset import SceneLabel, load_dataset
from ocr_trt.pipeline.reader import OcrReader, ReadSettings


def errors(scene: SceneLabel, found: list[str]) -> tuple[int, int, int, int]:
    """Return exact labels, labels, edits and characters of one page."""
    exact = edits = characters = 0
    truth = [text.replace(" ", "") for text in scene.texts if text]
    for text in truth:
        distance = min((Levenshtein.distance(text, each) for each in found), default=len(text))
        exact, edits = exact + (distance == 0), edits + min(distance, len(text))
        characters += len(text)
    return exact, len(truth), edits, characters


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for role in ("detector", "recognizer", "classifier"):
        parser.add_argument(role, type=Path)
    parser.add_argument("--turns", type=int, nargs="+", default=[0, 180], metavar="DEGREES")
    options = parser.parse_args()
    detector, recognizer, classifier = (
        Engine.from_bundle(load_bundle(path))
        for path in (options.detector, options.recognizer, options.classifier)
    )
    readers = {
        "as they are": OcrReader(detector, recognizer),
        "classifier": OcrReader(detector, recognizer, classifier=classifier),
        "both ways": OcrReader(detector, recognizer, ReadSettings(both_ways=True)),
    }
    scenes = load_dataset(SAMPLES / "pages").scenes
    for turn in options.turns:
        for name, reader in readers.items():
            totals, seconds = [0, 0, 0, 0], 0.0
            for scene in scenes:
                image = turned(scene.image.read(), turn)
                start = time.process_time()
                lines = reader.read(image)
                seconds += time.process_time() - start
                found = [line.text.replace(" ", "") for line in lines]
                totals = [a + b for a, b in zip(totals, errors(scene, found), strict=True)]
            exact, count, edits, characters = totals
            print(
                f"turned by {turn}, {name}: {exact} of {count} lines exact, "
                f"CER {100 * edits / characters:.2f}, {seconds:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
