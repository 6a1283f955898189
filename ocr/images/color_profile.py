"""Convert the colors of an image to sRGB with the color profile in its file."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TypeAlias

from PIL import Image as PilImage
from PIL import ImageCms

ToSrgb: TypeAlias = Callable[[PilImage.Image], PilImage.Image]
"""Converts a strip of an image to mode RGB."""

_SPACES = {"RGB ": "RGB", "CMYK": "CMYK", "GRAY": "L"}
"""Color spaces as ICC profiles name them, and the modes of images that they belong to."""
_BASES = {"CMYK": "CMYK", "L": "L", "LA": "L", "La": "L", "1": "L"}
"""Colors of each mode; those of all other modes are RGB."""


def color_transform(image: PilImage.Image) -> ToSrgb:
    """Return the conversion of strips of an image: by its profile, if it has a valid one.

    A profile for another kind of colors than the image has, and a damaged one, is ignored.
    """
    if image.mode == "LAB":  # Pillow's own conversion does not exist
        return _by_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")
    profile = image.info.get("icc_profile")
    if not profile:
        return _by_mode
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _SPACES.get(opened.profile.xcolor_space)
        if mode != _BASES.get(image.mode, "RGB"):
            return _by_mode
        if "sRGB" in ImageCms.getProfileDescription(opened):
            return _by_mode
        return _by_profile(opened, mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return _by_mode


def _by_mode(strip: PilImage.Image) -> PilImage.Image:
    return strip.convert("RGB")


def _by_profile(profile: ImageCms.ImageCmsProfile, mode: str) -> ToSrgb:
    srgb = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(profile, srgb, mode, "RGB")

    def convert(strip: PilImage.Image) -> PilImage.Image:
        # The profile of RGB also serves palettes and images with alpha.
        result = ImageCms.applyTransform(strip.convert(mode), transform)
        assert result is not None  # None only if a strip changes in place
        return result

    return convert
