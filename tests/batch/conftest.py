"""Images, and small bundles that need no TensorFlow."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.cli.conftest import bundles, engines, spec_files

pytest.importorskip("ray")

__all__ = ["bundles", "engines", "spec_files"]  # fixtures


def write_images(folder: Path, count: int, *, broken: int = 0) -> Path:
    """Write small images with different texts; the last of each ``count / broken`` is damaged."""
    folder.mkdir()
    for number in range(count):
        file = folder / f"{number:04}.png"
        if broken and number % (count // broken) == count // broken - 1:
            file.write_bytes(b"\x89PNG\r\n\x1a\n damaged")
            continue
        image = Image.new("RGB", (160, 64), "black")
        pen = ImageDraw.Draw(image)
        for row in range(2):
            pen.rectangle((8, 4 + 30 * row, 60 + number % 90, 24 + 30 * row), "white")
            pen.text((12, 6 + 30 * row), f"{number} {row}", "black")
        image.save(file)
    return folder
