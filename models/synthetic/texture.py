"""Procedural backgrounds, uint8 (H, W, 3) RGB: smooth noise, stripes, bricks, shapes."""

from __future__ import annotations

import cv2
import numpy as np

from ...ocr.types import Image


def random_color(rng: np.random.Generator) -> np.ndarray:
    """Draw a color (3,) float64, 0 to 255; half of them are grayish, as real colors are."""
    color = rng.uniform(0, 255, 3)
    return color if rng.random() < 0.5 else color.mean() + (color - color.mean()) * 0.25


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: float) -> np.ndarray:
    """Draw noise in [0, 1], (H, W) float32, with about ``cells`` bumps along the longer side."""
    scale = cells / max(height, width)
    small = rng.random((max(2, int(height * scale)), max(2, int(width * scale))), dtype=np.float32)
    return np.clip(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def _stripes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 80)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    wave = np.sin((xs * np.cos(angle) + ys * np.sin(angle)) * (2 * np.pi / period))
    return (wave > 0).astype(np.float32) if rng.random() < 0.5 else (wave + 1) / 2


def _bricks(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    step_y, step_x, joint = (
        int(rng.integers(8, 60)),
        int(rng.integers(12, 120)),
        int(rng.integers(1, 4)),
    )
    ys, xs = np.mgrid[0:height, 0:width]
    xs = xs + (ys // step_y % 2) * (step_x // 2)
    return ((ys % step_y < joint) | (xs % step_x < joint)).astype(np.float32)


def _pattern(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw one weight map in [0, 1], (H, W) float32."""
    kind = rng.integers(5)
    if kind == 0:
        return _stripes(rng, height, width)
    if kind == 1:
        return _bricks(rng, height, width)
    if kind == 2:
        # Noise at four scales, each three times finer and weaker by 1.6.
        octaves = [smooth_noise(rng, height, width, 4 * 3**k) / 1.6**k for k in range(4)]
        return np.sum(octaves, axis=0) / sum(1.6**-k for k in range(4))
    return smooth_noise(rng, height, width, rng.uniform(1.5, 12))


def _draw_shape(rng: np.random.Generator, canvas: Image) -> None:
    """Draw one shape that is not text: box, ellipse, polygon, line, circle or a row of bars."""
    height, width = canvas.shape[:2]
    color = tuple(map(float, random_color(rng)))
    center = (int(rng.integers(width)), int(rng.integers(height)))
    size = int(rng.uniform(4, 0.4 * min(height, width)))
    thickness = -1 if rng.random() < 0.5 else int(rng.integers(1, 6))
    points = rng.integers(-size, size + 1, (int(rng.integers(3, 7)), 2)) + center
    kind = rng.integers(6)
    if kind == 0:
        cv2.rectangle(
            canvas, tuple(map(int, points[0])), tuple(map(int, points[1])), color, thickness
        )
    elif kind == 1:
        axes = (size // 2 + 1, int(size * rng.uniform(0.1, 1)) + 1)
        cv2.ellipse(
            canvas, center, axes, rng.uniform(0, 180), 0, 360, color, thickness, cv2.LINE_AA
        )
    elif kind == 2:
        cv2.fillPoly(canvas, [points.astype(np.int32)], color, cv2.LINE_AA)
    elif kind == 3:
        cv2.polylines(
            canvas, [points.astype(np.int32)], False, color, int(rng.integers(1, 5)), cv2.LINE_AA
        )
    elif kind == 4:
        cv2.circle(canvas, center, max(2, size // 6), color, thickness, cv2.LINE_AA)
    else:
        step = int(rng.integers(3, 14))
        for bar in range(int(rng.integers(3, 14))):
            left = (center[0] + bar * step, center[1])
            right = (left[0] + max(1, int(step * rng.uniform(0.2, 0.7))), center[1] + size // 2)
            cv2.rectangle(canvas, left, right, color, -1)


def background(
    rng: np.random.Generator, height: int, width: int, shape_chance: float = 0.6
) -> Image:
    """Draw a background: plain paper or layers of texture, sometimes with shapes."""
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = random_color(rng) if rng.random() < 0.65 else rng.uniform(200, 255)
    for _ in range(int(rng.integers(0, 4))):
        weight = _pattern(rng, height, width)[..., None] * np.float32(rng.uniform(0.1, 0.8))
        canvas += (random_color(rng).astype(np.float32) - canvas) * weight
    image = np.ascontiguousarray(np.clip(canvas, 0, 255).astype(np.uint8))
    for _ in range(int(rng.integers(0, 14)) if rng.random() < shape_chance else 0):
        _draw_shape(rng, image)
    return image
