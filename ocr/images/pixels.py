"""Turn a decoded image of any mode into upright 8-bit RGB, in strips that need little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image as PilImage

from ..types import Image
from .color_profile import color_transform
from .ground import ground_for
from .levels import SAMPLE, Levels, levels_of

Strip: TypeAlias = tuple[Image, Image | None]
"""Colors (h, w, 3) and, if there is any transparency, alpha (h, w); uint8."""

_STRIP_PIXELS = 1 << 18
_ORIENTATION = 0x0112  # EXIF tag
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # TIFF tag, and its value for inverted gray


@dataclass(frozen=True, kw_only=True)
class Strips:
    """An image that is converted strip by strip: a whole copy of each step would be large."""

    height: int
    width: int
    has_alpha: bool
    convert: Callable[[int, int], Strip]
    """Returns the rows from one number to another."""

    def __iter__(self) -> Iterator[Strip]:
        return (self.convert(top, bottom) for top, bottom in self.rows())

    def rows(self) -> Iterator[tuple[int, int]]:
        """Yield the first row of each strip, and the row after its last."""
        return row_ranges(self.height, self.width)


def row_ranges(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Divide an image into strips of about 260,000 pixels: (first row, row after the last)."""
    step = max(1, _STRIP_PIXELS // width)
    return ((top, min(height, top + step)) for top in range(0, height, step))


def rgb_from_strips(strips: Strips) -> Image:
    """Return (H, W, 3) uint8; transparent pixels show a ground that contrasts with the others."""
    ground = None
    if strips.has_alpha:
        # Strips without alpha do not occur here.
        ground = ground_for((colors, alpha) for colors, alpha in strips if alpha is not None)
    pixels = np.empty((strips.height, strips.width, 3), np.uint8)
    for (top, bottom), (colors, alpha) in zip(strips.rows(), strips, strict=True):
        if ground is None or alpha is None:
            pixels[top:bottom] = colors
        else:
            opacity = alpha[:, :, None].astype(np.uint16)
            # Rounded to nearest; (h, w, 3) * (h, w, 1) is at most 255 * 255, which uint16 holds.
            mixed = colors * opacity + ground * (255 - opacity)
            pixels[top:bottom] = (mixed + 127) // 255
    return pixels


def rgb_from_pil(image: PilImage.Image) -> Image:
    """Decode an image that Pillow opened; return it upright, (H, W, 3) uint8."""
    return upright(*stored_pixels(image))


def stored_pixels(image: PilImage.Image) -> tuple[Image, int]:
    """Decode an image that Pillow opened: (H, W, 3) uint8 as stored, and its EXIF orientation."""
    image.load()
    # Read after decoding: some decoders turn the image, and remove the tag.
    orientation = orientation_of(image)
    if image.mode == "F" or image.mode.startswith("I"):
        strips = _deep_strips(image)
    else:
        strips = _color_strips(image)
    return rgb_from_strips(strips), orientation


def orientation_of(image: PilImage.Image) -> int:
    """Return the EXIF orientation of an image, 1 (upright) if it has none."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata, in many ways; the pixels are intact
        return 1


def upright(pixels: Image, orientation: int) -> Image:
    """Turn or mirror (H, W, 3) as the EXIF tag requires; values other than 2 to 8 do nothing."""
    turned = {
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: pixels.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(pixels, 1),
    }
    return np.ascontiguousarray(turned.get(orientation, pixels))


def _rows_of(image: PilImage.Image, top: int, bottom: int) -> PilImage.Image:
    return image.crop((0, top, image.width, bottom))


def _deep_strips(image: PilImage.Image) -> Strips:
    """Gray of 16 or 32 bits, or floats."""
    levels = _levels_of_image(image)
    transparent = image.info.get("transparency")
    has_alpha = isinstance(transparent, int)

    def convert(top: int, bottom: int) -> Strip:
        values = np.asarray(_rows_of(image, top, bottom))
        alpha = np.where(values == transparent, 0, 255).astype(np.uint8) if has_alpha else None
        return np.dstack([levels.to_bytes(values)] * 3), alpha

    return Strips(height=image.height, width=image.width, has_alpha=has_alpha, convert=convert)


def _levels_of_image(image: PilImage.Image) -> Levels:
    # Every step-th column and row, so that a large image is sampled.
    step = max(1, int((image.height * image.width / SAMPLE) ** 0.5))
    ranges = row_ranges(image.height, image.width)
    parts = [np.asarray(_rows_of(image, *rows))[::step, ::step] for rows in ranges]
    levels = levels_of(np.concatenate(parts))
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        # Pillow inverts such gray of up to 8 bits only.
        return Levels(black=levels.white, white=levels.black)
    return levels


def _color_strips(image: PilImage.Image) -> Strips:
    if image.mode == "La":  # premultiplied, which Pillow converts to LA only
        image = image.convert("LA")
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    to_srgb = color_transform(image)

    def convert(top: int, bottom: int) -> Strip:
        strip = _rows_of(image, top, bottom)
        alpha = None
        if has_alpha:
            strip = strip.convert("RGBA")
            alpha = np.asarray(strip.getchannel("A"))
        return np.asarray(to_srgb(strip)), alpha

    return Strips(height=image.height, width=image.width, has_alpha=has_alpha, convert=convert)
