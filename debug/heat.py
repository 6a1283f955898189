"""Where in a sample an engine's output is off: a strip over a line, a map over an image."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
import numpy.typing as npt

from ..measure.sample_images import data_uri, outline
from ..ocr.ctc import log_probabilities
from ..ocr.detector import probability_map
from ..ocr.preprocess import fit_line, letterbox
from ..ocr.recognizer import bucket_of
from ..ocr.types import Image, Quads
from ..spec import DetectorSpec, RecognizerSpec

Output = npt.NDArray[np.float32]
_RED, _GREEN = (214, 39, 40), (44, 160, 44)
_SCALE, _ROW, _STRIP = 2.5, 15, 12
_SHOWN_WIDTH = 720


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """What two engines found in an image: quads (K, 4, 2) in its own pixels."""

    engine: Quads
    baseline: Quads


def step_errors(engine: Output, baseline: Output, spec: RecognizerSpec) -> npt.NDArray[np.float32]:
    """Return KL(baseline || engine) of the classes for each time step, (T,), in nats.

    Outputs are (1, T, C).
    """
    known = spec.output.kind == "probabilities"
    p, q = (
        log_probabilities(np.nan_to_num(each[0]), are_probabilities=known)
        for each in (baseline, engine)
    )
    found: npt.NDArray[np.float32] = np.maximum((np.exp(p) * (p - q)).sum(-1), 0)
    return found


def _letters(output: Output, spec: RecognizerSpec) -> list[str]:
    """Return the best class of each time step; "" is the blank, and what repeats."""
    letters = [*spec.charset[: spec.blank], "", *spec.charset[spec.blank :]]
    best = output[0].argmax(-1)
    return [
        "" if step and best[step] == best[step - 1] else letters[best[step]]
        for step in range(len(best))
    ]


def line_strip(line: Image, engine: Output, baseline: Output, spec: RecognizerSpec) -> str:
    """Draw a text line (h, w, 3) as SVG: baseline's letters, error, the line, engine's letters.

    Outputs are (1, T, C), both of the line at the same input width.
    """
    height, width, steps = spec.input.height, bucket_of(line, spec), engine.shape[1]
    fitted = fit_line(line, height, width, spec.input.pad)
    wide, high = _SCALE * width, _SCALE * height
    cell = wide / steps
    parts = []
    for y, output in ((_ROW - 3, baseline), (2 * _ROW + _STRIP + high - 3, engine)):
        for step, letter in enumerate(_letters(output, spec)):
            if letter.strip():
                x = (step + 0.5) * cell
                parts.append(f'<text x="{x:.1f}" y="{y:.1f}">{escape(letter)}</text>')
    for step, error in enumerate(step_errors(engine, baseline, spec)):
        strength = 1 - np.exp(-float(error))
        parts.append(
            f'<rect x="{step * cell:.1f}" y="{_ROW}" width="{cell:.1f}" height="{_STRIP}" '
            f'fill-opacity="{strength:.2f}"><title>step {step}: {error:.3f} nats</title></rect>'
        )
    return (
        f'<svg width="{wide:.0f}" viewBox="0 0 {wide:.0f} {2 * _ROW + _STRIP + high:.0f}" '
        f'role="img" aria-label="The text line, and above it the error of each time step">'
        f'<image href="{data_uri(fitted, "png")}" x="0" y="{_ROW + _STRIP}" '
        f'width="{wide:.0f}" height="{high:.0f}"/>{"".join(parts)}</svg>'
    )


def difference_map(
    image: Image, engine: Output, baseline: Output, spec: DetectorSpec, boxes: Boxes
) -> str:
    """Draw how far two probability maps differ over the image, as an <img>.

    Outputs are (1, C, h, w) or (1, h, w). Red: the maps differ. Boxes: the baseline's are green,
    the engine's red.
    """
    one, two = (np.nan_to_num(probability_map(each, spec.output)[0]) for each in (engine, baseline))
    _, scales = letterbox(image, spec.input.height, spec.input.width, spec.input.pad)
    size = (spec.input.width, spec.input.height)
    off = cv2.resize(np.abs(one - two), size, interpolation=cv2.INTER_LINEAR)
    rows, columns = image.shape[:2]
    off = off[: max(1, round(rows * scales[1])), : max(1, round(columns * scales[0]))]
    factor = _SHOWN_WIDTH / columns
    shown = (_SHOWN_WIDTH, max(1, round(rows * factor)))
    pale = cv2.resize(image, shown, interpolation=cv2.INTER_AREA).astype(np.float32)
    pale = 255 - 0.6 * (255 - pale.mean(-1, keepdims=True).repeat(3, -1))
    weight = np.clip(cv2.resize(off, shown, interpolation=cv2.INTER_LINEAR), 0, 1)[..., None]
    drawn = (pale * (1 - weight) + np.array(_RED, np.float32) * weight).astype(np.uint8)
    outline(drawn, boxes.baseline * np.float32(factor), _GREEN, 2)
    outline(drawn, boxes.engine * np.float32(factor), _RED, 1)
    return f'<img src="{data_uri(drawn, "jpeg")}" alt="The image; red where the maps differ">'
