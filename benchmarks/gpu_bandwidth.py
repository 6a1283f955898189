"""The share of a GPU's memory bandwidth that the kernels reach, as the table of docs/gpu.md.

    python benchmarks/gpu_bandwidth.py

The reference is the GPU's own device-to-device copy in the same run: bytes read and written per
second. Each figure is the median of 5 replays of at least 20 launches, recorded as a CUDA graph.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ocr_trt.engines.nvidia.device import CudaDevice, Stream
from ocr_trt.plugins.cuda.nvrtc import nvrtc_version, ptx_from_source
from ocr_trt.plugins.cuda.on_device import DeviceKernels
from ocr_trt.plugins.hwc8 import in_hwc8, packed
from ocr_trt.plugins.image_inputs import COLORS
from ocr_trt.plugins.plugin import Array, Launch, Plugin
from ocr_trt.plugins.registry import PLUGINS

_LAUNCHES, _TIMES, _COPIES = 20, 5, 64
_CACHE = 1 << 28  # bytes, more than any GPU has
_COPY = 1 << 29  # bytes


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The rate of one kernel. ``share``: of the rate of the device's copy."""

    what: str
    microseconds: float
    gigabytes: float
    share: float


Case = tuple[Plugin, str, tuple[Array, ...], dict[str, int]]


def _cases() -> list[Case]:
    """Return large inputs, with the shapes of the reference models."""
    found: list[Case] = []
    for dtype in (np.float32, np.float16):
        rng = np.random.default_rng(0)
        wide = rng.random((4, 32, 640, 640), np.float32).astype(dtype)
        small = wide[:, :, :320, :320].copy()
        place = (4 * small.astype(np.float32)).astype(np.int32).astype(dtype)
        logits = rng.random((512, 80, 96), np.float32).astype(dtype)
        name = np.dtype(dtype).name
        found += [
            (PLUGINS["MaxPoolArgmax2d"], f"{name} 4x32x640x640", (wide,), {}),
            (PLUGINS["MaxUnpool2d"], f"{name} 4x32x320x320", (small, place), {}),
            (PLUGINS["CtcGreedyDecode"], f"{name} 512x80x96", (logits,), {"blank": 0}),
        ]
    pool, spread = in_hwc8(PLUGINS["MaxPoolArgmax2d"]), in_hwc8(PLUGINS["MaxUnpool2d"])
    found += [
        (pool, "float16 4x32x640x640 in HWC8", (packed(wide),), {}),
        (spread, "float16 4x32x320x320 in HWC8", (packed(small), packed(place)), {}),
    ]
    return [*found, *_image_cases()]


def _image_cases() -> list[Case]:
    """Return a photograph for the detector, in full size and small; its lines; a map with text."""
    rng = np.random.default_rng(1)
    mean, scale = np.full(3, 127.5, np.float32), np.full(3, 1 / 127.5, np.float32)
    colors = (COLORS["RGB"], mean, scale)
    found: list[Case] = []
    for rows, columns in ((3000, 4000), (640, 640)):
        image = rng.integers(0, 256, (rows, columns, 3), np.uint8)
        fitted = round(640 * rows / columns)
        sizes = {"rows": fitted, "columns": 640, "height": 640, "width": 640}
        attributes = {**sizes, "pad": 0, "area": int(columns > 640), "to": 10}
        what = f"{columns}x{rows} to float16"
        found.append((PLUGINS["ImageToTensor"], what, (image, *colors), attributes))
    corner = rng.uniform(0, (3600, 2900), (64, 2)).astype(np.float32)
    quads = corner[:, None] + np.array([[0, 0], [320, 0], [320, 40], [0, 40]], np.float32)
    image = rng.integers(0, 256, (3000, 4000, 3), np.uint8)
    crops = {"height": 32, "width": 320, "pad": 0, "to": 10}
    found.append((PLUGINS["CropWarp"], "64 lines to float16", (image, quads, *colors), crops))
    rows, columns = np.mgrid[:640, :640]
    text = ((rows % 40 < 12) & (columns % 160 < 120)).astype(np.float32)[None]
    limits = {"max_components": 256, "max_rows": 4096}
    threshold = np.array([0.3], np.float32)
    found.append((PLUGINS["BoxCandidates"], "float32 640x640, 64 words", (text, threshold), limits))
    return found


def _seconds(device: CudaDevice, works: Sequence[Callable[[Stream], object]]) -> float:
    """Return the average time that a piece of work takes on the GPU.

    The work is recorded and replayed, because a call from Python takes longer than most kernels.
    """
    import pycuda.driver as cuda

    stream: Any = device.stream()

    def enqueue() -> bool:
        for work in works:
            work(stream)
        return True

    enqueue()
    stream.synchronize()
    replay = device.captured(stream, enqueue)
    assert replay is not None
    start, end, times = cuda.Event(), cuda.Event(), []
    replay()
    for _ in range(_TIMES):
        start.record(stream.pycuda)
        replay()
        end.record(stream.pycuda)
        end.synchronize()
        times.append(start.time_till(end) / 1000 / len(works))
    return float(np.median(times))


def _copy_seconds(cuda: Any, source: Any, target: Any) -> float:
    """Return the time of one large copy.

    It is not recorded as a CUDA graph: the driver copies more slowly in one.
    """
    start, end, times = cuda.Event(), cuda.Event(), []
    for _ in range(_TIMES):
        start.record()
        for _ in range(_LAUNCHES):
            cuda.memcpy_dtod_async(target, source, _COPY)
        end.record()
        end.synchronize()
        times.append(start.time_till(end) / 1000 / _LAUNCHES)
    return float(np.median(times))


def rates(device: CudaDevice) -> list[Rate]:
    """Measure the copy and every kernel. The GPU's context must be current."""
    import pycuda.driver as cuda

    source, target = cuda.mem_alloc(_COPY), cuda.mem_alloc(_COPY)
    seconds = _copy_seconds(cuda, source, target)
    most = 2 * _COPY / seconds
    found = [_rate_of("copy on the device", 2 * _COPY, seconds, most)]
    for plugin, what, inputs, attributes in _cases():
        launch = plugin.launch(inputs, attributes)
        moved, seconds = measured(device, plugin, launch, inputs)
        found.append(_rate_of(f"{plugin.name}, {what}", moved, seconds, most))
    return found


def _rate_of(what: str, moved: int, seconds: float, most: float) -> Rate:
    rate = moved / seconds
    return Rate(what=what, microseconds=1e6 * seconds, gigabytes=rate / 1e9, share=rate / most)


def measured(
    device: CudaDevice, plugin: Plugin, launch: Launch, inputs: Sequence[Array]
) -> tuple[int, float]:
    """Return the bytes that an op reads and writes, without scratch memory, and its seconds.

    It runs in turns on enough copies of its buffers to exceed the GPU's cache.
    """
    import pycuda.driver as cuda

    kernels = DeviceKernels(ptx_from_source(plugin.source, 75))
    sizes = [math.prod(shape) * dtype.itemsize for shape, dtype in launch.outputs]
    room = [math.prod(shape) * dtype.itemsize for shape, dtype in launch.scratch]
    moved = sum(array.nbytes for array in inputs) + sum(sizes)
    held = [
        [*map(cuda.to_device, inputs), *map(cuda.mem_alloc, [*sizes, *room])]
        for _ in range(min(_COPIES, 1 + _CACHE // moved))
    ]
    places = [[int(memory) for memory in copy] for copy in held]

    def work(stream: Any, number: int) -> None:
        kernels.launch(launch, places[number % len(places)], stream.pycuda)

    count = max(_LAUNCHES, len(places))
    return moved, _seconds(device, [partial(work, number=number) for number in range(count)])


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    device = CudaDevice()
    with device.current():
        gpu, nvrtc = device.gpu, ".".join(map(str, nvrtc_version()))
        print(f"{gpu.name}, compute capability {gpu.compute_capability}, driver for CUDA", end=" ")
        print(f"{gpu.driver}, NVRTC {nvrtc}\n")
        print("| op | µs | GB/s | share of the copy's bandwidth |\n|---|---:|---:|---:|")
        for rate in rates(device):
            figures = f"{rate.microseconds:.1f} | {rate.gigabytes:.0f} | {100 * rate.share:.0f} %"
            print(f"| {rate.what} | {figures} |")


if __name__ == "__main__":
    main()
