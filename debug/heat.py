"""Draw where an engine's output differs from the baseline's: on a text line or on an image."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
import numpy.typing as npt

from ..measure.sample_images import data_uri, outline
from ..ocr.classifier import class_probabilities
from ..ocr.ctc import log_probabilities
from ..ocr.detector_maps import maps_from_output, text_map
from ..ocr.preprocess import Fit, fit_line
from ..ocr.recognizer import bucket_of
from ..ocr.types import Image, Outlines
from ..spec import ClassifierSpec, DetectorSpec, RecognizerSpec

Output = npt.NDArray[np.float32]
_RED, _GREEN = (214, 39, 40), (44, 160, 44)
_SCALE = 2.5
"""Page pixels per input pixel of a line."""
_ROW, _STRIP = 15, 12
"""Page pixels: the height of a row of letters, and of the strip of errors."""
_SHOWN_WIDTH = 720
"""Page pixels: the width of an image."""


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """The boxes of two engines in an image: (K, P, 2), as (x, y) in image pixels."""

    engine: Outlines
    baseline: Outlines


def step_errors(engine: Output, baseline: Output, spec: RecognizerSpec) -> npt.NDArray[np.float32]:
    """Return KL(baseline || engine) over the classes of each time step, (T,), in nats.

    Both outputs are (1, T, C).
    """
    known = spec.output.kind == "probabilities"
    p, q = (
        log_probabilities(np.nan_to_num(each[0]), are_probabilities=known)
        for each in (baseline, engine)
    )
    # (T, C) -> (T,). A KL divergence is never negative, except for rounding.
    errors: npt.NDArray[np.float32] = np.maximum((np.exp(p) * (p - q)).sum(-1), 0)
    return errors


def _letters(output: Output, spec: RecognizerSpec) -> list[str]:
    """Return the best class of each time step; "" for the blank and for repeated classes."""
    # The blank is a class before, between or after those of the charset.
    letters = [*spec.charset[: spec.blank], "", *spec.charset[spec.blank :]]
    best = output[0].argmax(-1)  # (1, T, C) -> (T,)
    return [
        "" if step and best[step] == best[step - 1] else letters[best[step]]
        for step in range(len(best))
    ]


def line_strip(line: Image, engine: Output, baseline: Output, spec: RecognizerSpec) -> str:
    """Draw a text line (h, w, 3) as SVG.

    From top to bottom: the baseline's letters, the error of each time step, the line, the engine's
    letters. Both outputs are (1, T, C), for the line at the same input width.
    """
    height, width, steps = spec.input.height, bucket_of(line, spec), engine.shape[1]
    fitted = fit_line(line, height, width, spec.input.pad)
    wide, high = _SCALE * width, _SCALE * height
    cell = wide / steps  # the time steps divide the width of the input evenly
    parts = []
    for y, output in ((_ROW - 3, baseline), (2 * _ROW + _STRIP + high - 3, engine)):
        for step, letter in enumerate(_letters(output, spec)):
            if letter.strip():
                x = (step + 0.5) * cell
                parts.append(f'<text x="{x:.1f}" y="{y:.1f}">{escape(letter)}</text>')
    for step, error in enumerate(step_errors(engine, baseline, spec)):
        strength = 1 - np.exp(-float(error))  # 0 if equal, close to 1 for large errors
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


def class_bars(crop: Image, engine: Output, baseline: Output, spec: ClassifierSpec) -> str:
    """Show a line crop (h, w, 3), and the probabilities of its angles in both outputs, as HTML.

    Both outputs are (1, C).
    """
    height = round(_SCALE * spec.input.height)
    width = max(1, min(_SHOWN_WIDTH, round(crop.shape[1] * height / crop.shape[0])))
    shown = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA)
    one, two = (class_probabilities(each, spec)[0] for each in (engine, baseline))
    lines = "".join(
        f"<li>{angle} degrees: {own:.3f} (reference: {other:.3f})</li>"
        for angle, own, other in zip(spec.angles, one, two, strict=True)
    )
    return f'<img src="{data_uri(shown, "jpeg")}" alt="The line crop"><ul>{lines}</ul>'


def difference_map(
    image: Image, outputs: tuple[Output, Output], fit: Fit, spec: DetectorSpec, boxes: Boxes
) -> str:
    """Draw the difference of two probability maps over the image, as an <img>.

    The outputs of engine and baseline are (1, C, h, w) or (1, h, w). Red: the maps differ. The
    baseline's boxes are green, and the engine's are red.
    """
    one, two = (
        np.nan_to_num(text_map(maps_from_output(each, spec.output)[0], spec.output))
        for each in outputs
    )
    size, scales = (fit.size.width, fit.size.height), fit.scales
    difference = cv2.resize(np.abs(one - two), size, interpolation=cv2.INTER_LINEAR)
    rows, columns = image.shape[:2]
    # Letterboxing pads at the bottom and at the right: keep the part that the image covers.
    difference = difference[: max(1, round(rows * scales[1])), : max(1, round(columns * scales[0]))]
    factor = _SHOWN_WIDTH / columns
    shown = (_SHOWN_WIDTH, max(1, round(rows * factor)))
    pale = cv2.resize(image, shown, interpolation=cv2.INTER_AREA).astype(np.float32)
    # (H, W, 3) -> gray, mixed with white, so that the colors are visible on it.
    pale = 255 - 0.6 * (255 - pale.mean(-1, keepdims=True).repeat(3, -1))
    # (H, W) -> (H, W, 1): the share of red in each pixel.
    weight = np.clip(cv2.resize(difference, shown, interpolation=cv2.INTER_LINEAR), 0, 1)[..., None]
    drawn = (pale * (1 - weight) + np.array(_RED, np.float32) * weight).astype(np.uint8)
    # The engine's outline is thinner, so that both are visible where they agree.
    outline(drawn, boxes.baseline * np.float32(factor), _GREEN, 2)
    outline(drawn, boxes.engine * np.float32(factor), _RED, 1)
    return f'<img src="{data_uri(drawn, "jpeg")}" alt="The image; red where the maps differ">'
