"""Read many images of many sizes with ``ocr-trt run``, and print the memory of the process.

python benchmarks/soak.py BUNDLES --images 2000 --workers 2

BUNDLES: the folder of bundles that ``ocr-trt demo`` writes. The memory must be flat: the last
column is the growth since a tenth of the images was read.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), options.images)
        command = [
            sys.executable,
            "-m",
            "ocr_trt",
            "run",
            folder,
            "--workers",
            str(options.workers),
        ]
        for role in ("detector", "recognizer"):
            command += [f"--{role}", options.bundles / f"reference-{role}-openvino-int8"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            done, memory = 0, []
            for line in run.stdout:
                if not line.startswith(" "):  # the line of an image; those of its text are indented
                    done += 1
                    memory.append(resident(run.pid))
                    if done % (options.images // 20) == 0:
                        early = max(memory[: options.images // 10])
                        print(done, f"{memory[-1]:.0f} MiB, {max(memory) - early:+.0f}", flush=True)
        print("exit code", run.returncode)


if __name__ == "__main__":
    main()
