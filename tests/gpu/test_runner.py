"""The runner's streams, buffers and CUDA graphs on a GPU, with a kernel of ours as the plan.

So they are tried where TensorRT is not, too. The plan spreads values by MaxUnpool2d, with its own
input as the places: (N, 3, 4, 8) -> (N, 3, 8, 16).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ocr_trt.engines.nvidia.device import CudaDevice, Stream
from ocr_trt.engines.nvidia.features import Features
from ocr_trt.engines.nvidia.infer_request import PlanSettings
from ocr_trt.engines.nvidia.plan_runner import PlanRunner
from ocr_trt.plugins.cuda.nvrtc import ptx_from_source
from ocr_trt.plugins.cuda.on_device import DeviceKernels
from ocr_trt.plugins.max_unpool_2d import PLUGIN, max_unpool_2d

FEATURES = Features(names_gpus=False, checks_headers=False, captures_itself=False)
SHAPE = (3, 4, 8)
MOST = 4


class KnownStreams(CudaDevice):
    """The GPU, with pycuda's streams by their handle."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, Any] = {}

    def stream(self) -> Stream:
        made: Any = super().stream()
        self.known[made.handle] = made.pycuda
        return made


class KernelContext:
    def __init__(self, engine: KernelEngine) -> None:
        self.engine, self.addresses = engine, dict[str, int]()
        self.batch = 0

    def set_optimization_profile_async(self, index: int, handle: int) -> bool:
        return index in (0, 1)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.batch = shape[0]
        return True

    def infer_shapes(self) -> list[str]:
        return []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        channels, height, width = SHAPE
        return (self.batch, channels, 2 * height, 2 * width)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, handle: int) -> bool:
        like = np.empty((self.batch, *SHAPE), np.float32)
        launch = PLUGIN.launch([like, like], {})
        source, target = self.addresses["x"], self.addresses["y"]
        stream = self.engine.device.known[handle]
        self.engine.kernels.launch(launch, [source, source, target], stream)
        self.engine.enqueued += 1
        return True


class PlanEngine:
    """A plan with the float32 input x (N, *sides) and the output y. ``profiles``: batches each."""

    num_io_tensors = 2

    def __init__(self, device: KnownStreams, sides: Sequence[int], most: int) -> None:
        self.device, self.sides = device, tuple(sides)
        self.profiles = [(1, 1), (2, most)] if most > 1 else [(1, 1)]
        self.num_optimization_profiles = len(self.profiles)

    def get_tensor_name(self, index: int) -> str:
        return "xy"[index]

    def get_tensor_mode(self, name: str) -> str:
        return name

    def get_tensor_dtype(self, name: str) -> type:
        return np.float32

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        low, high = self.profiles[index]
        return [(n, *self.sides) for n in (low, high, high)]


class KernelEngine(PlanEngine):
    def __init__(self, device: KnownStreams) -> None:
        super().__init__(device, SHAPE, MOST)
        self.kernels, self.enqueued = DeviceKernels(ptx_from_source(PLUGIN.source, 75)), 0

    def create_execution_context(self) -> KernelContext:
        return KernelContext(self)


def trt_module() -> Any:
    """What the runner needs of the module tensorrt."""
    trt: Any = ModuleType("tensorrt")
    trt.ILogger = type("ILogger", (), {"ERROR": 0, "INTERNAL_ERROR": 1})
    trt.TensorIOMode, trt.nptype = SimpleNamespace(INPUT="x"), lambda dtype: dtype
    return trt


class World:
    def __init__(self, **settings: Any) -> None:
        self.device = KnownStreams()
        with self.device.current():
            self.engine = KernelEngine(self.device)
        self.runner = PlanRunner(
            trt_module(),
            self.engine,
            self.device,
            FEATURES,
            label="x",
            settings=PlanSettings(**settings),
        )


def places(rng: np.random.Generator, batch: int) -> np.ndarray:
    return rng.integers(0, 5, (batch, *SHAPE)).astype(np.float32)


@pytest.fixture(autouse=True)
def needs_gpu(device: CudaDevice) -> Iterator[None]:
    return iter([None])


@pytest.mark.parametrize("use_graphs", [False, True])
def test_numbers_are_those_of_the_kernel(use_graphs: bool, rng: np.random.Generator) -> None:
    world = World(use_graphs=use_graphs)
    batches = [1] * 20 + [MOST] * 20 + [3, 1, 2, MOST, 1, 3]
    with world.runner as runner:
        for batch in batches:
            feed = places(rng, batch)
            np.testing.assert_array_equal(runner.run(feed), max_unpool_2d(feed, feed))
    replayed = len(batches) - world.engine.enqueued
    assert (replayed > 30) if use_graphs else (replayed == 0), "CUDA graphs were not used"


@pytest.mark.parametrize("streams", [1, 4])
def test_each_thread_gets_its_own_result(streams: int, rng: np.random.Generator) -> None:
    feeds = [places(rng, 1 + i % MOST) for i in range(400)]
    with World(streams=streams).runner as runner, ThreadPoolExecutor(8) as pool:
        for feed, found in zip(feeds, pool.map(runner.run, feeds), strict=True):
            np.testing.assert_array_equal(found, max_unpool_2d(feed, feed))


def test_a_thousand_runs_leave_nothing_behind(rng: np.random.Generator) -> None:
    import pycuda.driver as cuda

    feeds = [places(rng, 1 + i % MOST) for i in range(MOST)]
    with World().runner as runner:
        for number in range(1010):
            runner.run(feeds[number % MOST])
            if number == 9 * MOST:
                free = cuda.mem_get_info()[0]
        assert free - cuda.mem_get_info()[0] < 1 << 20
