"""Samples as a report shows them: a small image, the truth, and what was made of it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from ..ocr.dataset import crop_images
from ..ocr.image import load_image
from ..ocr.metrics.end_to_end import match_places
from ..ocr.types import Image, Quads
from .accuracy import DetectorResult, EndToEndResult, RecognizerResult, Result
from .results import Sample

_SCENE_WIDTH, _CROP_HEIGHT, _CROP_WIDTH = 560, 40, 800
_LONGEST_TEXT, _MOST_WORDS = 300, 12
_TRUTH, _FOUND, _IGNORED = (44, 160, 44), (214, 39, 40), (150, 150, 150)


def data_uri(image: Image, kind: str = "jpeg") -> str:
    """Return an RGB image (H, W, 3) as text for a page; ``kind``: png or jpeg."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, 85] if kind == "jpeg" else []
    ok, data = cv2.imencode(f".{kind}", image[:, :, ::-1], settings)
    assert ok
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def outline(image: Image, quads: Quads, color: tuple[int, int, int], thickness: int) -> None:
    """Draw quads (K, 4, 2) into an RGB image."""
    points = [np.round(quad).astype(np.int32) for quad in quads]
    cv2.polylines(image, points, True, color, thickness, cv2.LINE_AA)


def _scene_image(result: DetectorResult, index: int) -> Image:
    """The image with words to be found green, boxes found red, and "don't care" gray."""
    scene = result.scenes[index]
    image = load_image(scene.path)
    factor = np.float32(_SCENE_WIDTH / image.shape[1])
    size = (_SCENE_WIDTH, max(1, round(image.shape[0] * factor)))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    counts = np.isin(np.arange(len(scene.quads)), list(result.matchings[index].truth))
    outline(image, scene.quads[~counts] * factor, _IGNORED, 1)
    outline(image, scene.quads[counts] * factor, _TRUTH, 2)
    outline(image, result.found[index] * factor, _FOUND, 1)
    return image


def _told(result: DetectorResult, index: int) -> str:
    matching = result.matchings[index]
    word = "read" if isinstance(result, EndToEndResult) else "found"
    return f"{len(matching.found)} of {len(matching.truth)} {word}, {matching.wrong} wrong"


def _readings(result: EndToEndResult, index: int, words: Sequence[int]) -> str:
    """What was read where each word is; a dash where no line is."""
    scene = result.scenes[index]
    places = match_places(result.found[index], scene.quads, scene.texts, scene.ignore)
    lines = {word: line for line, word in places.pairs.items()}
    read = (result.texts[index][lines[word]] if word in lines else "-" for word in words)
    return f"{', '.join(read)} ({_told(result, index)})"


def _told_of(
    engine: DetectorResult, baseline: DetectorResult | None, index: int
) -> tuple[str, str, str]:
    """Truth, baseline and engine: words that only one of the two read right, or just numbers."""
    if isinstance(engine, EndToEndResult) and isinstance(baseline, EndToEndResult):
        found = engine.matchings[index].found ^ baseline.matchings[index].found
        if words := sorted(found)[:_MOST_WORDS]:
            truth = ", ".join(engine.scenes[index].texts[word] or "" for word in words)
            return truth, _readings(baseline, index, words), _readings(engine, index, words)
    truth = f"{len(engine.matchings[index].truth)} words"
    return truth, _told(baseline, index) if baseline else "-", _told(engine, index)


def _scene_samples(
    engine: DetectorResult, baseline: DetectorResult | None, chosen: Sequence[int]
) -> Iterator[Sample]:
    """Yield the chosen images, with their boxes drawn."""
    for index in chosen:
        truth, before, now = _told_of(engine, baseline, index)
        yield Sample(
            image=data_uri(_scene_image(engine, index)),
            caption=engine.scenes[index].path.name,
            truth=_short(truth),
            baseline=_short(before),
            engine=_short(now),
        )


def _crop_samples(
    engine: RecognizerResult, baseline: RecognizerResult | None, chosen: Sequence[int]
) -> Iterator[Sample]:
    """Yield the chosen lines."""
    images = crop_images(tuple(engine.crops[index] for index in chosen))
    for index, image in zip(chosen, images, strict=True):
        width = round(image.shape[1] * _CROP_HEIGHT / image.shape[0])
        size = (min(_CROP_WIDTH, max(1, width)), _CROP_HEIGHT)
        yield Sample(
            image=data_uri(cv2.resize(image, size, interpolation=cv2.INTER_AREA)),
            caption=engine.crops[index].path.name,
            truth=_short(engine.crops[index].text),
            baseline=_short(baseline.texts[index]) if baseline else "-",
            engine=_short(engine.texts[index]),
        )


def samples_of(engine: Result, baseline: Result | None, chosen: Sequence[int]) -> Iterator[Sample]:
    """Yield the chosen samples of an engine, beside what the baseline made of them."""
    if isinstance(engine, DetectorResult):
        assert baseline is None or isinstance(baseline, DetectorResult)
        return _scene_samples(engine, baseline, chosen)
    assert baseline is None or isinstance(baseline, RecognizerResult)
    return _crop_samples(engine, baseline, chosen)
