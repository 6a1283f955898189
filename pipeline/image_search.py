"""How a detector searched an image, and a warning if text may have been too small for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import WithJsonSchema

from ..common.input_size import InputSize
from ..ocr.crop import quad_size
from ..ocr.detector_size import CLOSE, wanted_scale
from ..ocr.types import Outlines
from ..spec import DetectorSpec

LARGE_SHRINK = 2.0
"""By default, an image that would shrink by more than this factor is also searched in tiles."""
_EMPTY_SHRINK = 1.25
"""An image without text gets a warning if it was shrunk by more than this factor."""
_LOW_SHARE = 0.1
"""Share of boxes that are as low as the lowest text that the detector finds: then text that is
still lower is likely. At least one box."""
_SIZE_SCHEMA: dict[str, Any] = {
    "type": "array", "prefixItems": [{"type": "integer"}] * 2, "minItems": 2, "maxItems": 2,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ImageSearch:
    """How the detector searched one image."""

    size: Annotated[InputSize, WithJsonSchema(_SIZE_SCHEMA)]
    """Height and width of the detector's input, in pixels."""
    scale: float
    """Pixels of the input per pixel of the image; of several scales, the finest."""
    tiles: int
    """Runs of the detector on tiles of the image, besides the one on the whole image."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"size": list(self.size), "scale": round(self.scale, 4), "tiles": self.tiles}


def shrink_warning(
    search: ImageSearch,
    image: tuple[int, int],
    boxes: Outlines,
    spec: DetectorSpec,
    *,
    is_empty: bool,
) -> str:
    """Return a warning if the detector may have missed text because the image was shrunk, or "".

    The detector finds text from ``spec.min_text_height`` pixels of its input on. An image that was
    shrunk may contain lower text. This is likely if no text was found at all, if some boxes are as
    low as this limit, or if the image was shrunk by more than ``LARGE_SHRINK``.

    Args:
        search: how the image was searched.
        image: its (height, width).
        boxes: what was found, (K, P, 2) in pixels of the image.
        spec: the detector's spec.
        is_empty: whether no text was read.
    """
    # At most the image's own size: tiles do not enlarge it either.
    shrink = min(1.0, wanted_scale(image, spec)) / search.scale
    if shrink * CLOSE <= 1:
        return ""
    lowest = spec.min_text_height / search.scale
    heights = np.array([min(quad_size(box)) for box in boxes])
    low = int((heights < lowest).sum())
    if is_empty and shrink > _EMPTY_SHRINK:
        seen = ": no text was found"
    elif low >= max(1, _LOW_SHARE * len(boxes)):
        seen = f": {low} of the {len(boxes)} boxes found are lower"
    elif shrink > LARGE_SHRINK:
        seen = ""
    else:
        return ""
    return (
        f"the image of {image[0]}x{image[1]} pixels (height x width) was shrunk by a factor of "
        f"{shrink:.2g} for the detector's input of {search.size}, and text lower than {lowest:.0f} "
        f"pixels may be missing{seen}. Search the image in tiles (--tiles on), or build the "
        "detector for larger inputs (sizes in its spec)"
    )
