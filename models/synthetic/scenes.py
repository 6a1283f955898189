"""Scenes: images with text blocks in perspective, and the quadrilateral of every word."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...ocr.crop import quad_size
from ...ocr.types import Image, Quads
from .blocks import Block, line_block, paragraph_block, spaced_word_block, table_block
from .effects import contrasting_color, degrade, luminance_spread
from .fonts import Split
from .text import scene_word
from .texture import background, random_color, smooth_noise

MIN_TEXT_HEIGHT = 8.0
"""Pixels; smaller text is marked "don't care"."""


@dataclass(frozen=True, kw_only=True)
class TextBox:
    """One word of a scene. ``quad``: (4, 2) float32 (x, y), clockwise from the text's top left."""

    quad: Quads
    text: str
    ignore: bool


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An image (H, W, 3) uint8 RGB and its words."""

    image: Image
    boxes: tuple[TextBox, ...]


def random_transform(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Draw a homography (3, 3) that rotates a plane of (width, height), sometimes in perspective.

    The result's bounding box begins at (0, 0).
    """
    width, height = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    # Most text is almost horizontal, some is tilted, a little has any angle up to 45 degrees.
    kind = rng.random()
    degrees = (
        rng.normal(0, 2)
        if kind < 0.6
        else rng.normal(0, 12)
        if kind < 0.93
        else rng.uniform(-45, 45)
    )
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    placed: np.ndarray = corners @ np.array([[cos, sin], [-sin, cos]], np.float32)
    if rng.random() < 0.5:
        # Perspective: each corner moves, relative to the text's height.
        reach = np.array([min(width, 3 * height), height]) * rng.uniform(0, 0.12)
        placed = placed + rng.uniform(-1, 1, (4, 2)) * reach
    placed = (placed - placed.min(0)).astype(np.float32)  # so that it starts at (0, 0)
    return cv2.getPerspectiveTransform(corners, placed)


def project(transform: np.ndarray, boxes: np.ndarray) -> Quads:
    """Map boxes (K, 4) as (x0, y0, x1, y1) through a homography to quadrilaterals (K, 4, 2)."""
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(1, -1, 2).astype(np.float64)
    return cv2.perspectiveTransform(corners, transform).reshape(-1, 4, 2).astype(np.float32)


def paint(rng: np.random.Generator, canvas: Image, block: Block, transform: np.ndarray) -> None:
    """Draw ``block`` on ``canvas``, in place, by ``transform``: panel, shadow, outline, ink."""
    height, width = canvas.shape[:2]
    if rng.random() < 0.25:
        panel = cv2.warpPerspective(np.full_like(block.mask, 255), transform, (width, height))
        _blend(canvas, panel, random_color(rng), rng.uniform(0.6, 1.0))
    mask = cv2.warpPerspective(block.mask, transform, (width, height), flags=cv2.INTER_LINEAR)
    covered = canvas[mask > 0] if mask.any() else canvas.reshape(-1, 3)
    under = covered.mean(0)
    color = contrasting_color(rng, under, luminance_spread(covered))
    if rng.random() < 0.12:
        shift = np.array([[1, 0, rng.uniform(-3, 3)], [0, 1, rng.uniform(-3, 3)]], np.float32)
        shadow = cv2.warpAffine(mask, shift, (width, height))
        _blend(canvas, shadow, 0.5 * under, rng.uniform(0.3, 0.8))
    if rng.random() < 0.1:
        _blend(
            canvas, cv2.dilate(mask, np.ones((3, 3), np.uint8)), contrasting_color(rng, color), 1.0
        )
    if rng.random() < 0.1:
        worn = smooth_noise(rng, height, width, rng.uniform(20, 120))
        mask = (mask * np.clip(0.45 + worn, 0, 1)).astype(np.uint8)
    _blend(canvas, mask, color, rng.uniform(0.85, 1.0))


def _blend(canvas: Image, mask: np.ndarray, color: np.ndarray, opacity: float) -> None:
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if not len(rows):
        return
    # Only the mask's bounding box, because most masks cover a small part of the canvas.
    area = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    alpha = mask[area].astype(np.float32)[..., None] * np.float32(opacity / 255)
    part = canvas[area].astype(np.float32)
    canvas[area] = part + (color.astype(np.float32) - part) * alpha


def _text_size(rng: np.random.Generator, low: float, high: float) -> int:
    # Uniform in the logarithm: doubling the size is equally likely everywhere.
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))


def _random_block(rng: np.random.Generator, split: Split, width: int) -> Block:
    kind = rng.random()
    if kind < 0.35:
        size = _text_size(rng, 14, 110)
        if rng.random() < 0.15:
            return spaced_word_block(rng, split, size, scene_word(rng, split))
        return line_block(rng, split, size, [scene_word(rng, split)])
    if kind < 0.7:
        texts = [scene_word(rng, split) for _ in range(rng.integers(2, 6))]
        return line_block(rng, split, _text_size(rng, 12, 48), texts)
    room = int(rng.uniform(0.25, 0.8) * width)
    setter = paragraph_block if kind < 0.9 else table_block
    return setter(rng, split, _text_size(rng, 11, 30), room)


def _place(
    rng: np.random.Generator, block: Block, taken: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Find a free place: return (transform, outline (4, 2) int32), or None after some tries."""
    height, width = taken.shape
    rows, columns = block.mask.shape
    for _ in range(6):
        transform = random_transform(rng, (columns, rows))
        outline = project(transform, np.array([[0, 0, columns, rows]]))[0]
        room = np.array([width, height]) - outline.max(0) - 4
        if (room <= 0).any():
            continue
        offset = 2 + rng.uniform(0, 1, 2) * room
        move = np.array([[1, 0, offset[0]], [0, 1, offset[1]], [0, 0, 1]])
        outline = np.round(outline + offset).astype(np.int32)
        here = np.zeros_like(taken)
        cv2.fillConvexPoly(here, outline, 1)
        if not (here & taken).any():
            return move @ transform, outline
    return None


def scene(index: int, *, split: Split, seed: int = 0, height: int = 640, width: int = 640) -> Scene:
    """Draw scene number ``index``.

    Raises:
        InputFileError: fonts or the word list are not installed.
    """
    rng = np.random.default_rng([seed, index, 1, int(split == "train")])
    canvas = background(rng, height, width)
    taken = np.zeros((height, width), np.uint8)
    boxes: list[TextBox] = []
    for _ in range(int(rng.integers(1, 14))):
        block = _random_block(rng, split, width)
        if (place := _place(rng, block, taken)) is None:
            continue
        transform, outline = place
        cv2.fillConvexPoly(taken, outline, 1)
        paint(rng, canvas, block, transform)
        for quad, text in zip(project(transform, block.boxes), block.texts, strict=True):
            ignore = quad_size(quad)[1] < MIN_TEXT_HEIGHT
            boxes.append(TextBox(quad=quad, text=text, ignore=ignore))
    heights = [quad_size(box.quad)[1] for box in boxes]
    return Scene(image=degrade(rng, canvas, min(heights, default=12.0)), boxes=tuple(boxes))
