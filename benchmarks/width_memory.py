"""Measure the resident memory of a recognizer with one plan for all widths (``width_step``).

    python benchmarks/width_memory.py BUNDLE      prints the figures of decision 0003

Each width is read first, then 500 batches of random widths, then 500 of random widths and sizes.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.engine import Engine


def resident() -> int:
    """Return the resident memory of this process in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS:"))


def measure(bundle: Path, streams: int, batches: int) -> None:
    """Print the memory after each step."""
    rng = random.Random(0)
    with (
        Engine.from_bundle(load_bundle(bundle), streams=streams, threads=2) as engine,
        ThreadPoolExecutor(streams) as threads,
    ):
        runners = [engine.runner(size) for size in engine.sizes]
        print(f"opened, {len(runners)} widths, {streams} streams: {resident()} MiB")

        def report(label: str, choice: Callable[[], tuple[int, int]], count: int) -> None:
            choices = [choice() for _ in range(count)]

            def run(pair: tuple[int, int]) -> None:
                runner = runners[pair[0]]
                images = np.zeros((pair[1], *runner.shape), np.float32)
                runner.run_and(images, lambda output: output.shape)

            list(threads.map(run, choices))
            print(f"{label}: {resident()} MiB", flush=True)

        places = iter([*range(len(runners))] * 3)
        report("each width", lambda: (next(places), 1), 3 * len(runners))

        def random_width() -> tuple[int, int]:
            return rng.randrange(len(runners)), 1

        def random_batch() -> tuple[int, int]:
            place = rng.randrange(len(runners))
            return place, rng.randint(1, runners[place].good_batch)

        report(f"{batches} batches of random widths", random_width, batches)
        report(f"{batches} batches of random widths and sizes", random_batch, batches)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="a recognizer that was built with width_step")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--batches", type=int, default=500)
    arguments = parser.parse_args()
    measure(arguments.bundle, arguments.streams, arguments.batches)
