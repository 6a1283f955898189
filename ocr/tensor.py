"""Images to model input, and model output to boxes or text, as a spec says."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ..spec import DetectorSpec, InputSpec, MapOutput, RecognizerSpec
from .boxes import boxes_from_map
from .crop import quad_size
from .ctc import Reading, decode_greedy
from .preprocess import fit_line, letterbox, normalize, to_gray, width_at_height
from .types import Image, Quads

Batch = npt.NDArray[np.float32]


def image_to_tensor(image: Image, settings: InputSpec) -> npt.NDArray[np.float32]:
    """Bring an RGB image (H, W, 3), already of the right size, to (C, H, W) float32."""
    if settings.color == "GRAY":
        image = to_gray(image)
    elif settings.color == "BGR":
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return normalize(image, settings.mean, settings.scale).transpose(2, 0, 1)


def detector_input(image: Image, settings: InputSpec) -> tuple[Batch, tuple[float, float]]:
    """Letterbox one RGB image: return (1, C, H, W), and scales (x, y) from old to new pixels."""
    fitted, scales = letterbox(image, settings.height, settings.width, settings.pad)
    return np.ascontiguousarray(image_to_tensor(fitted, settings)[None]), scales


def recognizer_input(lines: Sequence[Image], settings: InputSpec, width: int) -> Batch:
    """Scale RGB text lines to the input height and pad them to ``width``: (N, C, H, width)."""
    fitted = (fit_line(line, settings.height, width, settings.pad) for line in lines)
    return np.stack([image_to_tensor(line, settings) for line in fitted])


def bucket_of(line: Image, spec: RecognizerSpec) -> int:
    """Return the narrowest input width that a line (h, w, 3) fits into, or the widest."""
    return bucket_of_size(line.shape[:2], spec)


def bucket_of_size(size: tuple[int, ...], spec: RecognizerSpec) -> int:
    """Return :func:`bucket_of` a line of that (height, width) in pixels."""
    needed = width_at_height(size, spec.input.height)
    return next((width for width in spec.widths if width >= needed), spec.widths[-1])


def probability_map(output: npt.NDArray[np.float32], settings: MapOutput) -> Batch:
    """Pick text probabilities (N, H, W) out of a detector's output (N, C, H, W) or (N, H, W)."""
    chosen = output[:, settings.channel] if output.ndim == 4 else output
    if settings.activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(chosen, -80, 80))), np.float32)
    return np.asarray(chosen, np.float32)


def boxes_from_output(
    output: npt.NDArray[np.float32],
    spec: DetectorSpec,
    scales: tuple[float, float],
    size: tuple[int, int],
) -> tuple[Quads, npt.NDArray[np.float32]]:
    """Turn the output for one image into boxes in that image's own pixels.

    Args:
        output: (1, C, h, w) or (1, h, w); the map may be smaller than the input by a whole factor.
        spec: the detector's spec.
        scales: (x, y) as :func:`detector_input` gave them.
        size: (height, width) of the image; boxes are clipped to it.

    Returns:
        quads (K, 4, 2) and scores (K,), best first. Boxes that have nothing of the image in them,
        only of the padding around it, are left out.
    """
    probability = probability_map(output, spec.output)[0]
    found = boxes_from_map(probability, spec.boxes)
    return boxes_in_image(found, probability.shape, spec, scales, size)


def boxes_in_image(
    found: tuple[Quads, npt.NDArray[np.float32]],
    map_size: tuple[int, ...],
    spec: DetectorSpec,
    scales: tuple[float, float],
    size: tuple[int, int],
) -> tuple[Quads, npt.NDArray[np.float32]]:
    """Bring boxes from the pixels of a map (h, w) to those of the image.

    All else as for :func:`boxes_from_output`.
    """
    quads, scores = found
    strides = spec.input.width / map_size[1], spec.input.height / map_size[0]
    factors = np.array(strides, np.float32) / np.array(scales, np.float32)
    quads = (quads * factors).astype(np.float32)
    quads = np.clip(quads, 0, np.array([size[1], size[0]], np.float32))
    inside = np.array([min(quad_size(quad)) >= 1 for quad in quads], bool)
    return quads[inside], scores[inside]


def texts_from_output(output: npt.NDArray[np.float32], spec: RecognizerSpec) -> list[Reading]:
    """Turn a recognizer's output (N, T, C) into text.

    Raises:
        ValueError: C does not fit the charset.
    """
    are_probabilities = spec.output.kind == "probabilities"
    return decode_greedy(output, spec.charset, spec.blank, are_probabilities=are_probabilities)
