"""Samples as a report shows them: a small image, the truth and the results."""

from __future__ import annotations

import base64
from collections.abc import Collection

import cv2
import numpy as np

from ..ocr.dataset import SceneLabel
from ..ocr.types import Image, Outlines
from .report_data import SampleView

_SCENE_WIDTH, _LINE_HEIGHT, _LINE_WIDTH = 560, 40, 800  # pixels in the page
_MAX_TEXT = 300
# RGB: green, red, gray.
_TRUTH, _DETECTED, _IGNORED = (44, 160, 44), (214, 39, 40), (150, 150, 150)


def data_uri(image: Image, kind: str = "jpeg") -> str:
    """Return an RGB image (H, W, 3) as text for a page; ``kind``: png or jpeg."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, 85] if kind == "jpeg" else []
    # (H, W, 3), RGB -> BGR, which OpenCV expects.
    ok, data = cv2.imencode(f".{kind}", image[:, :, ::-1], settings)
    assert ok
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"


def _short(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def outline(image: Image, quads: Outlines, color: tuple[int, int, int], thickness: int) -> None:
    """Draw quads (K, P, 2) into an RGB image (H, W, 3), which changes."""
    points = [np.round(quad).astype(np.int32) for quad in quads]
    cv2.polylines(image, points, True, color, thickness, cv2.LINE_AA)


def scene_view(
    scene: SceneLabel, counted: Collection[int], detected: Outlines, texts: tuple[str, str, str]
) -> SampleView:
    """Return a scene as a report shows it.

    Words that count are green, detected boxes are red, and "don't care" words are gray.

    Args:
        scene: the image and its M words.
        counted: the indices of the words that count.
        detected: boxes (K, P, 2) in pixels of the image.
        texts: the truth, the baseline's result and the engine's.
    """
    image = scene.image.read()
    factor = np.float32(_SCENE_WIDTH / image.shape[1])
    size = (_SCENE_WIDTH, max(1, round(image.shape[0] * factor)))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    # Gray first, so that the others are drawn over it.
    counts = np.isin(np.arange(len(scene.quads)), list(counted))
    outline(image, scene.quads[~counts] * factor, _IGNORED, 1)
    outline(image, scene.quads[counts] * factor, _TRUTH, 2)
    outline(image, detected * factor, _DETECTED, 1)
    return _view(image, scene.image.name, texts)


def line_view(line: Image, caption: str, texts: tuple[str, str, str]) -> SampleView:
    """Return a text line (h, w, 3) as a report shows it; ``texts``: truth, baseline, engine."""
    width = round(line.shape[1] * _LINE_HEIGHT / line.shape[0])
    size = (min(_LINE_WIDTH, max(1, width)), _LINE_HEIGHT)
    return _view(cv2.resize(line, size, interpolation=cv2.INTER_AREA), caption, texts)


def _view(image: Image, caption: str, texts: tuple[str, str, str]) -> SampleView:
    truth, baseline, engine = map(_short, texts)
    return SampleView(
        image=data_uri(image), caption=caption, truth=truth, baseline=baseline, engine=engine
    )
