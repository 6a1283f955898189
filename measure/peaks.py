"""Measure the peaks of this machine: FLOP/s by precision, and memory bandwidth."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pydantic import Field

from ..common.cores import usable_cores
from ..common.frozen_model import FrozenModel
from ..common.progress import Reporter
from ..engines.manifest import Precision
from ..engines.targets import backend

_RUNS = 5  # of each measurement, of which the fastest counts
_MATRIX = 2048  # rows and columns
_MIN_COPY, _MAX_COPY = 64 << 20, 1 << 30  # bytes
_TARGET = "openvino"


class Peaks(FrozenModel):
    """The limits of this machine, which are the roofs of a roofline plot."""

    flops: dict[Precision, float] = {}
    """FLOP/s of the fastest convolution in each precision that the processor supports natively."""
    measured_with: str
    """The target that ran those convolutions."""
    matrix_product: float = Field(gt=0)
    """FLOP/s of NumPy's float32 matrix product, to compare with fp32 convolutions."""
    memory: float = Field(gt=0)
    """Bytes per second of a copy much larger than the caches; reads and writes are both counted."""

    def of(self, precision: str) -> float:
        """Return the peak FLOP/s of a precision; an unknown precision counts as fp32."""
        known = {str(name): rate for name, rate in self.flops.items()}
        return known.get(precision) or known.get("fp32") or self.matrix_product

    def best_of(self, other: Peaks) -> Peaks:
        """Return the higher value of each peak; ``other`` was measured with the same target."""
        both = [*self.flops.items(), *other.flops.items()]
        return Peaks(
            flops={name: max(rate for own, rate in both if own == name) for name, _ in both},
            measured_with=self.measured_with,
            matrix_product=max(self.matrix_product, other.matrix_product),
            memory=max(self.memory, other.memory),
        )


def measured_peaks(reporter: Reporter) -> Peaks:
    """Measure this machine for a few seconds."""
    target = backend(_TARGET)
    with reporter.step("measure the peaks of this machine", 100) as advance:
        flops = target.peaks(lambda share: advance(round(80 * share)))
        product = _best(_matrix_product())
        advance(90)
        memory = _copy_rate()
        advance(100)
    return Peaks(
        flops=flops,
        measured_with=f"{_TARGET} {target.availability().version}",
        matrix_product=2 * _MATRIX**3 / product,
        memory=memory,
    )


def _best(run: Callable[[], object]) -> float:
    """Return the seconds of the fastest run; the first run is a warm-up."""
    times = []
    for _ in range(_RUNS + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _matrix_product() -> Callable[[], object]:
    # A product of two n x n matrices takes 2 n**3 FLOPs.
    matrix = np.random.default_rng(0).uniform(-1, 1, (_MATRIX, _MATRIX)).astype(np.float32)
    result = np.empty_like(matrix)
    return lambda: np.matmul(matrix, matrix, out=result)


def _copy_rate() -> float:
    """Return the bytes per second of a copy on one core or on all cores, whichever is faster."""
    # Four times the last-level caches: most of the copy must come from memory.
    size = min(_MAX_COPY, max(_MIN_COPY, 4 * last_caches()))
    source, target = np.ones(size, np.uint8), np.ones(size, np.uint8)

    def copy(part: slice) -> None:
        np.copyto(target[part], source[part])

    def seconds(threads: int) -> float:
        parts = [slice(size * i // threads, size * (i + 1) // threads) for i in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            return _best(lambda: list(pool.map(copy, parts)))  # `list` waits for all parts

    # A copy reads and writes every byte.
    return 2 * size / min(map(seconds, {1, usable_cores()}))


def last_caches(folder: Path = Path("/sys/devices/system/cpu")) -> int:
    """Return the total bytes of the last-level caches of the usable cores; 0 if unknown.

    A cache that several cores share counts once.
    """
    sizes: dict[tuple[str, int], int] = {}
    for core in os.sched_getaffinity(0):
        caches = []
        for path in (folder / f"cpu{core}" / "cache").glob("index*/size"):
            # One "index*" folder per cache of the core; its "size" is a text such as "1024K".
            size, shared = path.read_text("ascii").strip(), path.with_name("shared_cpu_list")
            if size.endswith("K") and shared.exists():
                caches.append((int(size[:-1]) << 10, shared.read_text("ascii")))
        # Cores that share a cache have the same list of sharers: one key.
        if caches:
            largest, sharers = max(caches)
            sizes[sharers, largest] = largest
    return sum(sizes.values())
