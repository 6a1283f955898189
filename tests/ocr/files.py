"""Image files in memory, for tests of what reads them."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image, ImageDraw


def letters(color: int = 0, ground: int = 255) -> Image.Image:
    """A gray image (60, 200) with a word."""
    image = Image.new("L", (200, 60), ground)
    ImageDraw.Draw(image).text((10, 10), "Hello", color, font_size=30)
    return image


def on_transparency(*colors: tuple[int, ...]) -> Image.Image:
    """An RGBA image with a word in each color on transparency."""
    image = Image.new("RGBA", (110 * len(colors), 60), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    for number, color in enumerate(colors):
        pen.text((110 * number + 10, 10), "Hello", (*color, 255), font_size=30)
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The content of an image file."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def tiff(pixels: np.ndarray, *, orientation: int = 1, photometric: int | None = None) -> bytes:
    """An uncompressed TIFF file of (H, W) or (H, W, C) pixels of any number type."""
    height, width = pixels.shape[:2]
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    photometric = photometric if photometric is not None else (2 if samples > 1 else 1)
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    raw = pixels.tobytes()
    rows: list[tuple[int, str, list[int]]] = [
        (256, "H", [width]), (257, "H", [height]), (258, "H", [8 * pixels.itemsize] * samples),
        (259, "H", [1]), (262, "H", [photometric]), (273, "I", [0]), (274, "H", [orientation]),
        (277, "H", [samples]), (278, "H", [height]), (279, "I", [len(raw)]),
        (339, "H", [kind] * samples),
    ]  # fmt: skip
    after = 8 + 2 + 12 * len(rows) + 4
    entries, values = b"", b""
    long = sum(2 * samples for _, kind, v in rows if struct.calcsize(kind) * len(v) > 4)
    for tag, code, numbers in rows:
        if tag == 273:
            numbers = [after + long]  # the pixels follow the long values
        packed = struct.pack(f"<{len(numbers)}{code}", *numbers)
        if len(packed) > 4:
            values, packed = values + packed, struct.pack("<I", after + len(values))
        head = struct.pack("<HHI", tag, {"H": 3, "I": 4}[code], len(numbers))
        entries += head + packed.ljust(4, b"\0")
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(rows)) + entries + bytes(4) + values + raw


def pdf(
    boxes: list[str], *, count: int | None = None, trailer: bytes = b"", content: bytes = b""
) -> bytes:
    """A PDF document of pages with these media boxes, such as ``0 0 200 100``.

    ``content``: what is drawn on each page; empty pages have none.
    """
    numbers = range(3, 3 + len(boxes))
    kids = b" ".join(b"%d 0 R" % number for number in numbers)
    contents = b"/Contents %d 0 R" % (3 + len(boxes)) if content else b""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(boxes) if count is None else count),
        *(b"<</Type/Page/Parent 2 0 R/MediaBox[%s]%s>>" % (b.encode(), contents) for b in boxes),
        *([b"<</Length %d>>stream\n%s\nendstream" % (len(content), content)] if content else []),
    ]
    data, offsets = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj" % number + each + b"endobj\n"
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"<</Size %d/Root 1 0 R%s>>" % (len(objects) + 1, trailer)
    return (
        data + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table
        + b"trailer" + end + b"\nstartxref\n%d\n%%%%EOF" % len(data)
    )  # fmt: skip
