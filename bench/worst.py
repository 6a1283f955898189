"""The samples an engine did worst on, as pictures for the report."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from ..ocr.dataset import crop_images
from ..ocr.image import load_image
from ..ocr.metrics.detection import detection_score
from ..ocr.types import Image, Quads
from .accuracy import DetectorResult, RecognizerResult
from .results import WorstSample

_SCENES, _CROPS = 4, 12
_SCENE_WIDTH, _CROP_HEIGHT = 560, 40
_TRUTH, _FOUND, _IGNORED = (44, 160, 44), (214, 39, 40), (150, 150, 150)


def data_uri(picture: Image, kind: str) -> str:
    """Return an RGB picture (H, W, 3) as text for a page; ``kind``: png or jpeg."""
    ok, data = cv2.imencode(f".{kind}", picture[:, :, ::-1])
    assert ok
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"


def outline(picture: Image, quads: Quads, color: tuple[int, int, int], thickness: int) -> None:
    """Draw quads (K, 4, 2) into an RGB picture."""
    points = [np.round(quad).astype(np.int32) for quad in quads]
    cv2.polylines(picture, points, True, color, thickness, cv2.LINE_AA)


def _scene_sample(
    engine: DetectorResult, baseline: DetectorResult | None, index: int
) -> WorstSample:
    scene = engine.scenes[index]
    picture = load_image(scene.path)
    factor = _SCENE_WIDTH / picture.shape[1]
    size = (_SCENE_WIDTH, max(1, round(picture.shape[0] * factor)))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    truth = [
        quad * factor for quad, skip in zip(scene.quads, scene.ignore, strict=True) if not skip
    ]
    ignored = [quad * factor for quad, skip in zip(scene.quads, scene.ignore, strict=True) if skip]
    outline(picture, np.array(ignored, np.float32), _IGNORED, 1)
    outline(picture, np.array(truth, np.float32), _TRUTH, 2)
    outline(picture, engine.found[index] * np.float32(factor), _FOUND, 1)

    def found(result: DetectorResult) -> str:
        counts = result.counts[index]
        return f"{counts.matched} of {counts.truth} found, {counts.detected - counts.matched} wrong"

    return WorstSample(
        picture=data_uri(picture, "jpeg"),
        caption=scene.path.name,
        truth=f"{engine.counts[index].truth} words",
        baseline=found(baseline) if baseline else "-",
        engine=found(engine),
    )


def _worst_scenes(engine: DetectorResult, baseline: DetectorResult | None) -> list[WorstSample]:
    scores = [detection_score([counts]).hmean for counts in engine.counts]
    order = sorted(range(len(scores)), key=lambda i: scores[i])
    chosen = [index for index in order if scores[index] < 1][:_SCENES]
    return [_scene_sample(engine, baseline, index) for index in chosen]


def _worst_crops(engine: RecognizerResult, baseline: RecognizerResult | None) -> list[WorstSample]:
    def loss(index: int) -> tuple[int, float]:
        return -engine.edits(index), engine.text_scores[index]

    wrong = [i for i, crop in enumerate(engine.crops) if engine.texts[i] != crop.text]
    chosen = sorted(wrong, key=loss)[:_CROPS]
    pictures = crop_images(tuple(engine.crops[index] for index in chosen))
    samples = []
    for index, picture in zip(chosen, pictures, strict=True):
        width = max(1, round(picture.shape[1] * _CROP_HEIGHT / picture.shape[0]))
        shown = cv2.resize(picture, (width, _CROP_HEIGHT), interpolation=cv2.INTER_AREA)
        samples.append(
            WorstSample(
                picture=data_uri(shown, "png"),
                caption=engine.crops[index].path.name,
                truth=engine.crops[index].text,
                baseline=baseline.texts[index] if baseline else "-",
                engine=engine.texts[index],
            )
        )
    return samples


def worst_samples(
    engine: DetectorResult | RecognizerResult, baseline: DetectorResult | RecognizerResult | None
) -> tuple[WorstSample, ...]:
    """Return the worst samples of an engine, worst first, beside what the baseline made of them."""
    if isinstance(engine, DetectorResult):
        assert baseline is None or isinstance(baseline, DetectorResult)
        return tuple(_worst_scenes(engine, baseline))
    assert baseline is None or isinstance(baseline, RecognizerResult)
    return tuple(_worst_crops(engine, baseline))
