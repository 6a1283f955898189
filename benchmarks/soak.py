"""Read many images of many sizes with ``ocr-trt run``, and print the memory of the process.

python benchmarks/soak.py DETECTOR RECOGNIZER --images 2000 --workers 2

DETECTOR and RECOGNIZER are bundles. The memory must be flat: the last column is the growth since
``--after`` images (a tenth of all by default) were read.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZES = 500


def write_images(folder: Path, count: int) -> None:
    """Write images of 500 sizes with a few words each, in three formats."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(60, 900, (SIZES, 2))
    for number in range(count):
        image = Image.new("RGB", tuple(map(int, sizes[number % SIZES])), "white")
        pen = ImageDraw.Draw(image)
        for line in range(4):
            place = (10, 10 + 40 * line)
            pen.text(place, f"line {number} {line}", "black", font_size=14 + number % 12)
        image.save(folder / f"{number:05d}.{('png', 'jpg', 'webp')[number % 3]}")


def resident(process: int) -> float:
    """Return the resident memory of a process in MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:"))) / 1024


def memory_of_run(folder: Path, engines: dict[str, Path], workers: int) -> Iterator[float]:
    """Read all images of a folder with bundles by role; yield the memory after each, in MiB."""
    command = [sys.executable, "-m", "ocr_trt", "run", folder, "--workers", str(workers)]
    for role, bundle in engines.items():
        command += [f"--{role}", bundle]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if not line.startswith(" "):  # the line of an image; those of its text are indented
                yield resident(run.pid)
    if run.returncode:
        raise RuntimeError(f"exit code {run.returncode}")


def growth_of(memory: list[float], after: int) -> float:
    """Return by how many MiB the memory grew since the first ``after`` images were read."""
    return max(memory) - max(memory[:after])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector", type=Path)
    parser.add_argument("recognizer", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--after", type=int)
    options = parser.parse_args()
    after = options.after or max(1, options.images // 10)
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), options.images)
        engines = {"detector": options.detector, "recognizer": options.recognizer}
        memory = list[float]()
        for each in memory_of_run(Path(folder), engines, options.workers):
            memory.append(each)
            if len(memory) % max(1, options.images // 20) == 0:
                growth = growth_of(memory, after)
                print(len(memory), f"{each:.0f} MiB, {growth:+.0f}", flush=True)


if __name__ == "__main__":
    main()
