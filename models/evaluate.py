"""Accuracy of the reference models on held-out synthetic images, with new fonts and words.

    python -m ocr_trt.models.evaluate detector
    python -m ocr_trt.models.evaluate recognizer
    python -m ocr_trt.models.evaluate recognizer --count 3000     a larger set; nothing is written

Writes ``weights/<role>.evaluation.json``. The images are drawn again from their seed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ..ocr.detector import boxes_from_output, detector_input
from ..ocr.metrics.detection import count_image, detection_score
from ..ocr.metrics.recognition import recognition_score
from ..ocr.recognizer import bucket_of, recognizer_input, texts_from_output
from ..spec import DetectorSpec, RecognizerSpec, load_spec
from .reference_models import WEIGHTS, ReferenceRole, spec_path, trained_model, weights_path
from .synthetic import Scene, Word, scene, word

HELD_OUT_SEED = 2019
SCENES, WORDS = 100, 500


def held_out_scenes(count: int = SCENES) -> Iterator[Scene]:
    """Yield the held-out scenes, 640x640."""
    return (scene(i, split="held-out", seed=HELD_OUT_SEED) for i in range(count))


def held_out_words(count: int = WORDS) -> Iterator[Word]:
    """Yield the held-out word crops."""
    return (word(i, split="held-out", seed=HELD_OUT_SEED) for i in range(count))


def evaluate_detector(model: Any, scenes: Sequence[Scene], spec: DetectorSpec) -> dict[str, float]:
    """Return precision, recall and hmean at IoU 0.5."""
    counts = []
    # One image at a time, as the pipeline runs the detector. Keras is NHWC, the pipeline NCHW.
    for sample in scenes:
        feed, fit = detector_input(sample.image, spec.input, spec.input.size)
        output = np.asarray(model(feed.transpose(0, 2, 3, 1), training=False))
        quads, _ = boxes_from_output(
            output.transpose(0, 3, 1, 2), spec, fit, sample.image.shape[:2]
        )
        truth = np.array([box.quad for box in sample.boxes], np.float32).reshape(-1, 4, 2)
        counts.append(count_image(quads, truth, [box.ignore for box in sample.boxes]))
    score = detection_score(counts)
    return {"precision": score.precision, "recall": score.recall, "hmean": score.hmean}


def read_words(model: Any, words: Sequence[Word], spec: RecognizerSpec) -> list[str]:
    """Read each crop separately, padded to its bucket's width."""
    texts = []
    for sample in words:
        feed = recognizer_input([sample.image], spec.input, bucket_of(sample.image, spec))
        output = np.asarray(model(feed.transpose(0, 2, 3, 1), training=False))
        texts.append(texts_from_output(output, spec)[0].text)
    return texts


def evaluate_recognizer(
    model: Any, words: Sequence[Word], spec: RecognizerSpec
) -> dict[str, float]:
    """Return word accuracy and CER."""
    score = recognition_score(read_words(model, words, spec), [sample.text for sample in words])
    return {"word_accuracy": score.word_accuracy, "cer": score.cer}


def evaluate(
    role: ReferenceRole, weights: Path | None = None, count: int | None = None
) -> dict[str, Any]:
    """Evaluate a reference model on its held-out images.

    ``count``: how many images, in place of the usual number.

    Raises:
        InputFileError: weights, fonts or the word list are missing.
    """
    spec = load_spec(spec_path(role))
    model = trained_model(role, weights)
    if isinstance(spec, DetectorSpec):
        scenes = list(held_out_scenes(count or SCENES))
        result = evaluate_detector(model, scenes, spec)
        size = {"scenes": len(scenes), "boxes": sum(len(s.boxes) for s in scenes)}
    else:
        assert isinstance(spec, RecognizerSpec)
        words = list(held_out_words(count or WORDS))
        result = evaluate_recognizer(model, words, spec)
        size = {"words": len(words), "characters": sum(len(w.text) for w in words)}
    # The digest tells which weights an evaluation belongs to.
    rounded = {name: round(value, 4) for name, value in result.items()}
    digest = sha256((weights or weights_path(role)).read_bytes()).hexdigest()
    return {"role": role, "weights_sha256": digest, "seed": HELD_OUT_SEED, **size, **rounded}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line of the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m ocr_trt.models.evaluate")
    parser.add_argument("role", choices=("detector", "recognizer"))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--count", type=int)
    options = parser.parse_args(arguments)
    result = evaluate(options.role, options.weights, options.count)
    if options.weights is None and options.count is None:
        path = WEIGHTS / f"{options.role}.evaluation.json"
        path.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
