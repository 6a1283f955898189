"""The memory that reading a large image requires in addition to its engines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

READ = """
import cv2, numpy as np, shapely
from ocr_trt.engines.runner import Runner
from ocr_trt.engines.engine import Engine
from ocr_trt.pipeline.scales import detect_at_scales
from ocr_trt.spec import spec_from_dict

class Bright(Runner):
    def _execute(self, feed):
        return (feed[:, :1] > 0.5).astype(np.float32)

spec = spec_from_dict({
    "name": "d", "role": "detector", "source": {"path": "m"}, "output": {"name": "y"},
    "input": {"name": "x", "shape": [1, 640, 640, 3]},
})
engine = Engine(label="d", spec=spec, open_runner=lambda width: Bright(
    label="d", shape=(3, 640, 640), max_batch=1))
image = np.zeros((3000, 4000, 3), np.uint8)
for y in range(0, 3000, 60):
    for x in range(0, 4000, 160):
        image[y + 8:y + 32, x + 8:x + 128] = 255

def highest():
    # of this process alone; getrusage would include its parent before the fork
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

before = highest()
(quads, _), _ = detect_at_scales(engine, image)
assert len(quads) == 1250, len(quads)
print((highest() - before) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_tiles_require_little_memory(tmp_path: Path) -> None:
    """A map of 4 bytes for each of 12 million pixels, its mask, a tile: 99 MiB when measured.

    The bound has room for another copy of the map, not for two.
    """
    command = [sys.executable, "-c", READ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 40 < float(done.stdout) < 150
