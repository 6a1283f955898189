"""Measure the cost of ``ocr-trt batch`` per image, compare it with ``ocr-trt run``, and plot both.

python benchmarks/batch_scaling.py BUNDLES --repeats 3 --write

BUNDLES: the folder of bundles that ``ocr-trt demo`` writes. A line is fitted to the times of
several numbers of images: its slope is the time per image, and its intercept is the time of the
start, which does not depend on the number. ``--write`` replaces the figures in docs/scale.md and
the plot.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scale.md"
PLOT = ROOT / "docs" / "images" / "batch_scaling.png"
BEGIN, END = "<!-- batch_scaling.py: begin -->\n", "<!-- batch_scaling.py: end -->\n"
MACHINES, CORES, IMAGES = 100, 16, 10_000_000
LINK = 1.25e9  # bytes per second of a network of 10 Gbit/s


@dataclass(frozen=True, kw_only=True)
class Line:
    """Seconds = start + images / rate."""

    start: float
    rate: float
    deviation: float
    """Largest distance of a time from the line, relative to the time."""


def write_images(folder: Path, count: int) -> float:
    """Copy sample images until there are ``count``; return their mean size in bytes."""
    samples = sorted((ROOT / "models" / "samples").glob("*/*.jpg"))
    samples = [path for path in samples if path.parent.name in ("calibration", "test")]
    folder.mkdir()
    for number in range(count):
        source = samples[number % len(samples)]
        shutil.copy(source, folder / f"{number:06}{source.suffix}")
    return statistics.mean(path.stat().st_size for path in folder.iterdir())


def timed(command: list[object]) -> tuple[float, str]:
    """Return the seconds that a command took, and its output."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "ocr_trt", *map(str, command)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{command}: exit code {done.returncode}: {done.stderr}")
    return time.monotonic() - begin, done.stdout


def fitted(images: list[int], seconds: list[float]) -> Line:
    slope, start = np.polyfit(images, seconds, 1)
    fit = start + slope * np.array(images)
    return Line(
        start=float(start), rate=float(1 / slope),
        deviation=float(np.max(np.abs(fit - seconds) / np.array(seconds))),
    )  # fmt: skip


def plot(images: list[int], times: dict[str, list[float]], lines: dict[str, Line]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, seconds in times.items():
        line = lines[name]
        ends = np.array([0, max(images)])
        axes.plot(images, seconds, "o", label=f"ocr-trt {name}")
        text = f"{line.start:.1f} s + {1000 / line.rate:.1f} ms per image"
        axes.plot(ends, line.start + ends / line.rate, "-", linewidth=1, label=text)
    axes.set(xlabel="images", ylabel="seconds", xlim=(0, None), ylim=(0, None))
    axes.legend()
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, dpi=100)


def report(
    images: list[int],
    times: dict[str, list[float]],
    lines: dict[str, Line],
    sizes: dict[str, float],
) -> str:
    """Return the figures, and a model of a large job that follows from them."""
    batch, run = lines["batch"], lines["run"]
    cores = len(os.sched_getaffinity(0))
    header = "| images | " + " | ".join(f"ocr-trt {name}, s" for name in times) + " |"
    rows = [
        f"| {count} | " + " | ".join(f"{seconds[i]:.1f}" for seconds in times.values()) + " |"
        for i, count in enumerate(images)
    ]
    rate = batch.rate / cores * CORES * MACHINES
    minutes = IMAGES / rate / 60
    read, written = sizes["image"] * IMAGES, sizes["result"] * IMAGES
    blocks, transfer = -(-IMAGES // 256), read / LINK / 60
    slower = "the CPUs are" if minutes > transfer else "the storage is"
    return "\n".join(
        [
            header, "|---:|" + "---:|" * len(times), *rows, "",
            f"On {cores} cores, `batch` takes {batch.start:.1f} s to start and then reads "
            f"{batch.rate:.1f} images/s. `run` takes {run.start:.1f} s and reads {run.rate:.1f} "
            f"images/s: `batch` has {batch.rate / run.rate:.2f} x its throughput. The times differ "
            f"from a straight line by at most {100 * batch.deviation:.0f} %.", "",
            f"Estimate for {IMAGES:,} such images on {MACHINES} machines of {CORES} cores:", "",
            "| quantity | value |", "|---|---:|",
            f"| images/s of all machines, {batch.rate / cores:.1f} per core | {rate:,.0f} |",
            f"| time | {minutes:,.0f} min |",
            f"| read from shared storage, {sizes['image'] / 1e3:.0f} kB per image | "
            f"{read / 1e12:.2f} TB, {read / minutes / 60 / 1e9:.1f} GB/s |",
            f"| written, {sizes['result'] / 1e3:.1f} kB per image | {written / 1e9:.0f} GB |",
            f"| blocks of 256 images, each a result file and a checkpoint | {blocks:,} |",
            f"| tasks of Ray per second, three per block | {3 * blocks / minutes / 60:,.0f} |", "",
            f"Storage behind one link of 10 Gbit/s delivers the images in {transfer:,.0f} min, so "
            f"{slower} the bottleneck.", "",
        ]
    )  # fmt: skip


def measured(options: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, float]]:
    engines: list[object] = []
    for role in ("detector", "recognizer"):
        engines += [f"--{role}", options.bundles / f"reference-{role}-openvino-int8"]
    times: dict[str, list[float]] = {"batch": [], "run": []}
    sizes: dict[str, float] = {}
    for count in options.images:
        taken: dict[str, list[float]] = {name: [] for name in times}
        with tempfile.TemporaryDirectory() as scratch:
            images, output = Path(scratch) / "images", Path(scratch) / "out"
            sizes["image"] = write_images(images, count)
            for _ in range(options.repeats):  # interleaved, so that both see the same machine
                seconds, text = timed(["run", images, *engines, "--json"])
                taken["run"].append(seconds)
                shutil.rmtree(output, ignore_errors=True)
                line = ["batch", images, "--output", output, *engines, "--json", *options.extra]
                seconds, text = timed(line)
                taken["batch"].append(seconds)
                facts = json.loads(text)
                print(count, {k: round(v[-1], 1) for k, v in taken.items()}, facts, flush=True)
            written = sum(file.stat().st_size for file in output.rglob("*.parquet"))
            sizes["result"] = written / count
        for name, values in taken.items():
            times[name].append(statistics.median(values))
    return times, sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", type=Path)
    parser.add_argument("--images", type=int, nargs="+", default=[75, 150, 300, 600])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="replace the figures in docs/scale.md")
    parser.add_argument("extra", nargs="*", help="options of ocr-trt batch, after --")
    options = parser.parse_args()
    times, sizes = measured(options)
    lines = {name: fitted(options.images, seconds) for name, seconds in times.items()}
    text = report(options.images, times, lines, sizes)
    print(text)
    if options.write:
        plot(options.images, times, lines)
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        link = f"![Seconds by number of images](images/{PLOT.name})\n\n"
        PAGE.write_text(f"{before}{BEGIN}{text}\n{link}{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
