"""Color spaces of images (..., 3), with the formulas of TensorFlow's kernels.

RGBToHSV      v = max, s = (max - min) / v, h by which channel is the largest
HSVToRGB      ((1 - s) + s d(h)) v, where d are three trapezoids
AdjustSaturation  ->  RGBToHSV, s scaled and clipped, HSVToRGB
"""

from __future__ import annotations

from .emitter import Emitter, Rule, Tensor


def _channels(x: Tensor) -> list[Tensor]:
    return [x.slice(-1, i, i + 1) for i in range(3)]


def _to_hsv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    e, (r, g, b) = x.emit, _channels(x)
    top, bottom = e.op("Max", r, g, b), e.op("Min", r, g, b)
    spread = top - bottom
    saturation = e.where(top > 0.0, spread / top, 0.0)
    norm = 1.0 / (spread * 6.0)
    hue = e.where(
        r.equals(top),
        norm * (g - b),
        e.where(g.equals(top), norm * (b - r) + 2 / 6, norm * (r - g) + 4 / 6),
    )
    hue = e.where(spread > 0.0, hue, 0.0)
    return e.where(hue < 0.0, hue + 1.0, hue), saturation, top


def _to_rgb(h: Tensor, s: Tensor, v: Tensor) -> Tensor:
    e, turn = h.emit, h * 6.0
    shapes = [
        e.op("Abs", turn - 3.0) - 1.0,
        2.0 - e.op("Abs", turn - 2.0),
        2.0 - e.op("Abs", turn - 4.0),
    ]
    d = e.op("Clip", e.op("Concat", *shapes, axis=-1), 0.0, 1.0)
    return ((1.0 - s) + s * d) * v


def _rgb_to_hsv(e: Emitter) -> Tensor:
    return e.op("Concat", *_to_hsv(e[0]), axis=-1)


def _hsv_to_rgb(e: Emitter) -> Tensor:
    return _to_rgb(*_channels(e[0]))


def _adjust_saturation(e: Emitter) -> Tensor:
    h, s, v = _to_hsv(e[0])
    return _to_rgb(h, e.op("Clip", s * e[1].cast(s.dtype), 0.0, 1.0), v)


RULES: dict[str, Rule] = {
    "AdjustSaturation": _adjust_saturation,
    "HSVToRGB": _hsv_to_rgb,
    "RGBToHSV": _rgb_to_hsv,
}
