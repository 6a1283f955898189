"""Lines of text on curves, with the polygons around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pyclipper

Curve = Callable[[np.ndarray], np.ndarray]


def sine(t: np.ndarray) -> np.ndarray:
    return np.stack([60 + 420 * t, 170 + 50 * np.sin(2 * np.pi * t)], 1)


def arch(t: np.ndarray) -> np.ndarray:
    return np.stack([270 - 160 * np.cos(np.pi * t), 250 - 160 * np.sin(np.pi * t)], 1)


def smile(t: np.ndarray) -> np.ndarray:
    return np.stack([270 - 160 * np.cos(np.pi * t), 60 + 160 * np.sin(np.pi * t)], 1)


def horseshoe(t: np.ndarray) -> np.ndarray:
    """Three quarters of a circle, open at the bottom."""
    angle = np.pi * (1.25 - 1.5 * t)
    return np.stack([270 + 110 * np.cos(angle), 180 - 110 * np.sin(angle)], 1)


def bow(t: np.ndarray) -> np.ndarray:
    return np.stack([60 + 420 * t, 170 - 30 * np.sin(np.pi * t)], 1)


def falling(t: np.ndarray) -> np.ndarray:
    """A line that runs down, bent to the right."""
    return np.stack([240 + 60 * np.sin(np.pi * t), 20 + 320 * t], 1)


CURVES: dict[str, Curve] = {
    curve.__name__: curve for curve in (sine, arch, smile, horseshoe, bow, falling)
}


@dataclass(frozen=True)
class CurvedLine:
    """A line (H, W, 3) on a curve, and the polygon (P, 2) around it, first half along its top."""

    image: np.ndarray
    polygon: np.ndarray


def text_strip(text: str, height: int = 40) -> np.ndarray:
    """Return a straight line of black text on white, (height, w, 3)."""
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, height / 40, 2)
    strip = np.full((height, width + height // 2, 3), 255, np.uint8)
    place = (height // 4, round(0.72 * height))
    cv2.putText(strip, text, place, cv2.FONT_HERSHEY_DUPLEX, height / 40, (0, 0, 0), 2, cv2.LINE_AA)
    return strip


def along_curve(strip: np.ndarray, curve: Curve, height: float, points: int = 14) -> CurvedLine:
    """Bend a straight line (h, w, 3) along a curve, at a height in pixels, in a light image."""
    places = curve(np.linspace(0, 1, 2000))
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    distances = np.concatenate([[0], np.cumsum(steps)])
    # The same number of points at even distances: (200, 2).
    even = np.linspace(0, distances[-1], 200)
    places = np.stack([np.interp(even, distances, axis) for axis in places.T], 1)
    tangents = np.gradient(places, even, axis=0)
    normals = np.stack([-tangents[:, 1], tangents[:, 0]], 1)  # downwards for text to the right
    top, bottom = places - normals * height / 2, places + normals * height / 2

    image = np.full((370, 540, 3), 235, np.uint8)
    inside = np.zeros(image.shape[:2], np.uint8)
    around = np.concatenate([top, bottom[::-1]])
    cv2.fillPoly(inside, [np.round(16 * (around - 0.5)).astype(np.int32)], 1, shift=4)
    y, x = np.nonzero(inside)
    # The nearest place: the squared distance without its constant part, (pixels, 200).
    pixels = np.stack([x, y], 1) + 0.5
    nearest = ((places**2).sum(1) - 2 * pixels @ places.T).argmin(1)
    away = pixels - places[nearest]
    along = even[nearest] + (away * tangents[nearest]).sum(1)
    across = (away * normals[nearest]).sum(1)
    rows, columns = strip.shape[:2]
    u = along / even[-1] * columns - 0.5
    v = (across / height + 0.5) * rows - 0.5
    image[y, x] = cv2.remap(
        strip, np.float32(u)[None], np.float32(v)[None], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )[0]  # fmt: skip
    chosen = np.linspace(0, 199, points // 2).round().astype(int)
    polygon = np.concatenate([top[chosen], bottom[chosen][::-1]])
    return CurvedLine(image=image, polygon=polygon.astype(np.float32))


def shrunk_map(polygons: list[np.ndarray], size: tuple[int, int], ratio: float = 0.4) -> np.ndarray:
    """Return the map (H, W) of 0.95 in the polygons (P, 2), shrunk as for training, else 0.02."""
    factor, canvas = 4, np.zeros(size, np.float32)
    for polygon in polygons:
        area = abs(cv2.contourArea(polygon))
        distance = area * (1 - ratio**2) / cv2.arcLength(polygon, True)
        offset = pyclipper.PyclipperOffset()
        points = np.round(polygon * 64).astype(int).tolist()
        offset.AddPath(points, pyclipper.JT_MITER, pyclipper.ET_CLOSEDPOLYGON)
        (path,) = offset.Execute(-64 * distance)
        large = np.zeros((size[0] * factor, size[1] * factor), np.uint8)
        corners = np.round(16 * (np.array(path) / 64 * factor - 0.5)).astype(np.int32)
        cv2.fillPoly(large, [corners], 1, shift=4)
        # A pixel belongs to the region if its center does.
        canvas[large[factor // 2 :: factor, factor // 2 :: factor] > 0] = 1
    return (0.02 + 0.93 * canvas).astype(np.float32)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two images after both are scaled to (32, 400); 1 is equal."""
    gray = [
        cv2.resize(each, (400, 32), interpolation=cv2.INTER_AREA).mean(2).ravel()
        for each in (one, other)
    ]
    return float(np.corrcoef(*gray)[0, 1])
