"""Cases of ``fuzz.py``: images in the formats that phones and scanners write, page by page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_damage import damaged
from PIL import Image as PilImage
from PIL import ImageDraw, features

from ocr_trt.errors import OcrTrtError
from ocr_trt.ocr.image import open_image
from ocr_trt.ocr.images.limits import MAX_PIXELS, SMALLEST_SIDE

Case = Callable[[np.random.Generator], None]

_LARGEST_PAGES = 3
"""Pages that a case decodes, of a document that may state 2,000."""

HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAA"
    "AAAAAAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABegABAAAAAAAAAB4AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA1mlwcnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34"
    "+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqSSmu"
    "bgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAA"
    "QAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAACZtZGF0AAAAGigBrwngITl1X//8zd//"
    "+BOch+zkidBzD1+A"
)
"""64x64 pixels. No package writes such files, so this one is kept here."""


def _documents() -> list[bytes]:
    """Return small files of every format with pages, of many modes and codings."""
    rng = np.random.default_rng(0)
    color = PilImage.fromarray(rng.integers(0, 256, (20, 28, 3), np.uint8))
    alpha = PilImage.fromarray(rng.integers(0, 256, (20, 28, 4), np.uint8))
    deep = PilImage.fromarray(rng.integers(0, 65536, (20, 28), np.uint16))
    page = PilImage.new("RGB", (60, 40), "white")
    ImageDraw.Draw(page).text((5, 5), "page", "black")
    several: dict[str, Any] = {"save_all": True, "append_images": [page, color]}
    rows: list[tuple[PilImage.Image, dict[str, Any]]] = [
        *((color.convert(mode), {"format": "GIF"}) for mode in ("P", "L")),
        (color.convert("P"), {"format": "GIF", "interlace": 0, "transparency": 3}),
        (color, {"format": "GIF", **several}),
        *((image, {"format": "JPEG2000"}) for image in (color, alpha, deep, color.convert("L"))),
        (color, {"format": "JPEG2000", "irreversible": True, "tile_size": (16, 16)}),
        (color, {"format": "JPEG2000", "no_jp2": True}),
        *(
            (page, {"format": "TIFF", "compression": c, **several})
            for c in ("raw", "tiff_lzw", "jpeg", "tiff_adobe_deflate")
        ),
        (page.convert("1"), {"format": "TIFF", "compression": "group4", "save_all": True,
                             "append_images": [page.convert("1")]}),
        (page, {"format": "TIFF", "big_tiff": True, **several}),
        (page, {"format": "PDF"}),
        (page.convert("1"), {"format": "PDF"}),
        (page, {"format": "PDF", "resolution": 100, **several}),
    ]  # fmt: skip
    if features.check("avif"):
        rows += [(image, {"format": "AVIF"}) for image in (color, alpha)]
        rows.append((color, {"format": "AVIF", "save_all": True, "append_images": [color]}))
    files = [base64.b64decode(HEIC)] * 3  # as often as the formats with several seeds
    for image, options in rows:
        file = io.BytesIO()
        # Copies: Pillow keeps the settings of a JPEG encoder in the image.
        more = [each.copy() for each in options.get("append_images", [])]
        image.copy().save(file, **{**options, "append_images": more} if more else options)
        files.append(file.getvalue())
    return files


def pages(folder: Path) -> Case:
    """Documents, through ``open_image``: their headers agree with their pixels."""
    files, path = _documents(), folder / "image"

    def case(rng: np.random.Generator) -> None:
        path.write_bytes(damaged(files[rng.integers(len(files))], rng, files))
        document = open_image(path)
        assert document.pages >= 1
        read, errors = 0, list[OcrTrtError]()
        for page in range(1, min(document.pages, _LARGEST_PAGES) + 1):
            try:
                header = document.header(page)
                pixels = document.read(page)
            except OcrTrtError as error:  # the other pages are read
                errors.append(error)
                continue
            read += 1
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3
            assert pixels.shape[2] == 3
            assert min(pixels.shape[:2]) >= SMALLEST_SIDE
            assert pixels.shape[0] * pixels.shape[1] <= MAX_PIXELS
            # The memory for an image is reserved by its header.
            assert header.pixels >= pixels.shape[0] * pixels.shape[1]
        if not read:
            raise errors[0]

    return case


CASES: dict[str, Callable[[Path], Case]] = {"pages": pages}
