"""The memory that decoding requires stays below what headers state, and budgets are respected."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocr_trt.ocr.image import open_image
from ocr_trt.pipeline.image_memory import image_budget, memory_of
from tests.ocr.files import encoded

SIDE = 4000
DECODE = """
import sys, cv2, numpy as np, PIL.Image, PIL.ImageCms
PIL.Image.init()
from ocr_trt.ocr.image import open_image

def highest():
    # of this process alone; getrusage would include its parent before the fork
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))

for name in sys.argv[1:]:
    before = highest()
    file = open_image(name)
    header = file.header()
    shape = file.read().shape
    assert shape[0] * shape[1] == header.pixels
    print(name, (highest() - before) / header.pixels, header.bytes_per_pixel)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["webp", "jpg", "progressive.jpg", "png", "alpha.png", "tif"])
def test_decoding_requires_what_the_header_states(kind: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (SIDE, SIDE), (200, 100, 50))
    path = tmp_path / f"a.{kind}"
    if kind == "alpha.png":
        image.putalpha(90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turning the image needs a copy
    options = {"progressive": True, "subsampling": 0} if "progressive" in kind else {}
    image.save(path, exif=exif, **options)
    done = subprocess.run(
        [sys.executable, "-c", DECODE, path], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    _, used, stated = done.stdout.split()
    assert float(used) <= float(stated) + 1  # 16 MB for decoders and modules


def test_budget_of_sources() -> None:
    data = encoded(Image.new("RGB", (100, 50)))
    assert memory_of(open_image(data)) == 5000 * 12
    assert memory_of(open_image(data), draws=True) == 5000 * 30
    assert memory_of(np.zeros((50, 100, 3), np.uint8)) == 5000 * 12
    assert memory_of(Image.new("L", (100, 50))) == 5000 * 12
    assert image_budget(7).size == 7
    assert image_budget().size > 1 << 20
