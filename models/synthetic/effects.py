"""Effects of cameras and printers on text: light, blur, noise, compression."""

from __future__ import annotations

import cv2
import numpy as np

from ...ocr.types import Image
from .texture import random_color, smooth_noise

_LUMINANCE = np.array([0.299, 0.587, 0.114])


def luminance(color: np.ndarray) -> float:
    """Return the Rec. 601 luminance of a color (3,), 0 to 255."""
    return float(color @ _LUMINANCE)


def luminance_spread(colors: np.ndarray) -> float:
    """Return the standard deviation of the luminance of colors (K, 3)."""
    return float((colors @ _LUMINANCE).std())


def contrasting_color(
    rng: np.random.Generator, under: np.ndarray, spread: float = 0.0
) -> np.ndarray:
    """Draw a color (3,) that is brighter or darker than ``under``, sometimes only slightly.

    ``spread`` is the standard deviation of the background's luminance; the contrast exceeds it.
    """
    base = luminance(under)
    gap = rng.uniform(45, 80) if rng.random() < 0.15 else rng.uniform(70, 220)
    gap = max(gap, 3 * spread)
    room_up, room_down = 255 - base, base
    # Brighter or darker at random if both fit, else in the direction with more room.
    up = rng.random() < room_up / 255 if min(room_up, room_down) > gap else room_up > room_down
    target = base + min(gap, room_up) if up else base - min(gap, room_down)
    color = random_color(rng)
    # Shift all channels alike: the hue varies, the luminance is the target.
    color = color - luminance(color) + target
    return np.clip(color, 0, 255)


def _uneven_light(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    light = smooth_noise(rng, height, width, rng.uniform(1.2, 4))[..., None]
    return image * (1 - np.float32(rng.uniform(0.1, 0.5)) * light)


def _motion_blur(rng: np.random.Generator, image: np.ndarray, length: int) -> np.ndarray:
    # A line through the kernel's center is the path of the camera.
    kernel = np.zeros((length, length), np.float32)
    dx, dy = np.array([np.cos(a := rng.uniform(0, np.pi)), np.sin(a)]) * length / 2
    middle = length / 2
    start, end = (middle - dx, middle - dy), (middle + dx, middle + dy)
    cv2.line(kernel, tuple(map(int, start)), tuple(map(int, end)), 1.0)
    return cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1e-6))


def _resample(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    factor = rng.uniform(0.55, 0.95)
    size = (max(1, int(width * factor)), max(1, int(height * factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _jpeg(rng: np.random.Generator, image: Image) -> Image:
    quality = int(rng.integers(25, 96))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def degrade(rng: np.random.Generator, image: Image, text_height: float) -> Image:
    """Apply random effects to ``image``; blur stays small relative to ``text_height`` pixels."""
    result: np.ndarray = image.astype(np.float32)
    if rng.random() < 0.4:
        result = _uneven_light(rng, result)
    if rng.random() < 0.35:
        result = cv2.GaussianBlur(result, (0, 0), rng.uniform(0.2, 0.2 + 0.045 * text_height))
    if rng.random() < 0.12:
        result = _motion_blur(rng, result, int(rng.integers(2, 3 + int(0.12 * text_height))))
    if rng.random() < 0.2:
        result = _resample(rng, result)
    if rng.random() < 0.5:
        noise = rng.standard_normal((*result.shape[:2], 3 if rng.random() < 0.5 else 1), np.float32)
        result = result + noise * np.float32(rng.uniform(1, 16))
    contrast, shift = rng.uniform(0.65, 1.15), rng.uniform(-20, 20)
    result = (result - 127.5) * contrast + 127.5 + shift
    result = np.clip(result, 0, 255).astype(np.uint8)
    return _jpeg(rng, result) if rng.random() < 0.5 else result
