"""A simulated GPU with real numbers: its memory is on the host, its plans run in onnxruntime.

It detects mistakes that a GPU does not report. Streams do nothing until they are synchronized, so
code that reads too early gets the old content. New memory contains garbage. Every call requires
that the GPU's context is current in the thread. A recorded execution context must not be changed
afterwards. Addresses must be aligned, set, and inside memory that has not been freed.
"""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.engines.nvidia.device import Gpu, Placed
from ocr_trt.plugins.plugin import Attributes, Plugin

GARBAGE = 0xCD


class StandInDevice:
    """Replaces ``device.CudaDevice``."""

    def __init__(self) -> None:
        self.gpu = Gpu(name="Stand-in", compute_capability="8.9", driver="12.4")
        self.streams: dict[int, StandInStream] = {}
        self.recorded = 0
        self._held = threading.local()

    @contextmanager
    def current(self) -> Iterator[None]:
        self._held.depth = getattr(self._held, "depth", 0) + 1
        try:
            yield
        finally:
            self._held.depth -= 1

    def check_current(self) -> None:
        assert getattr(self._held, "depth", 0) > 0, "the GPU's context is not current"

    def memory(self, shape: tuple[int, ...], dtype: Any) -> StandInMemory:
        self.check_current()
        # A thread-local recording restricts only the thread that records.
        assert not getattr(self._held, "recording", False), "memory allocated while recording"
        return StandInMemory(self, shape, np.dtype(dtype))

    def stream(self) -> StandInStream:
        self.check_current()
        stream = StandInStream(self, 1000 + len(self.streams))
        self.streams[stream.handle] = stream
        return stream

    def op(self, plugin: Plugin) -> StandInOp:
        self.check_current()
        return StandInOp(plugin)

    def captured(self, stream: Any, enqueue: Callable[[], bool]) -> Callable[[], None] | None:
        self.check_current()
        stream.recording, self._held.recording = [], True
        done = enqueue()
        work, stream.recording, self._held.recording = stream.recording, None, False
        if not done:
            return None
        self.recorded += 1

        def replay() -> None:
            self.check_current()
            for step in work:
                stream.queue(step)

        return replay


class StandInOp:
    """An op that runs its NumPy reference."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin

    def call(self, inputs: Sequence[Placed], attributes: Attributes) -> Any:
        launch = self._plugin.launch([placed.like() for placed in inputs], attributes)
        sources = [array_at(placed.address, placed.shape, placed.dtype) for placed in inputs]

        def enqueue(outputs: Sequence[int], stream: Any) -> None:
            targets = [
                array_at(address, shape, dtype)
                for address, (shape, dtype) in zip(outputs, launch.outputs, strict=True)
            ]

            def work() -> None:
                results = self._plugin.reference([source.copy() for source in sources], attributes)
                for target, array in zip(targets, results, strict=True):
                    target[...] = array

            stream.queue(work)

        return SimpleNamespace(outputs=launch.outputs, enqueue=enqueue)


class StandInStream:
    def __init__(self, device: StandInDevice, handle: int) -> None:
        self.device, self.handle = device, handle
        self.waiting: list[Callable[[], None]] = []
        self.recording: list[Callable[[], None]] | None = None

    def queue(self, step: Callable[[], None]) -> None:
        self.device.check_current()
        (self.waiting if self.recording is None else self.recording).append(step)

    def synchronize(self) -> None:
        self.device.check_current()
        assert self.recording is None, "a stream cannot be waited for while it is recorded"
        work, self.waiting = self.waiting, []
        for step in work:
            step()


class StandInMemory:
    def __init__(self, device: StandInDevice, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._device = device
        self.host = np.empty(shape, dtype)
        self.host.view(np.uint8).fill(GARBAGE)
        self._raw = np.full(self.host.nbytes + 256, GARBAGE, np.uint8)
        start = -self._raw.ctypes.data % 256
        self._there = self._raw[start : start + self.host.nbytes]
        self.address = self._there.ctypes.data

    def upload(self, rows: int, stream: StandInStream) -> None:
        size = self.host[:rows].nbytes

        def copy() -> None:
            self._there[:size] = self.host[:rows].reshape(-1).view(np.uint8)

        stream.queue(copy)

    def download(self, rows: int, stream: StandInStream) -> None:
        size = self.host[:rows].nbytes

        def copy() -> None:
            self.host[:rows].reshape(-1).view(np.uint8)[:] = self._there[:size]

        stream.queue(copy)


def array_at(address: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    size = int(np.prod(shape)) * dtype.itemsize
    memory = (ctypes.c_uint8 * size).from_address(address)
    return np.frombuffer(memory, dtype).reshape(shape)


def plan_of(
    model: onnx.ModelProto, profiles: list[tuple[int, int]], *, stripped: bool = False
) -> bytes:
    """Return the plan of a graph with a free first axis, as :func:`stand_in_trt` loads it."""
    head = json.dumps({"profiles": profiles, "stripped": stripped}).encode()
    return b"PLAN" + head + b"\n" + model.SerializeToString()


class _Logger:
    ERROR, INTERNAL_ERROR = "error", "internal error"

    def __init__(self) -> None: ...


class _Context:
    def __init__(self, engine: _Engine, device: StandInDevice) -> None:
        device.check_current()
        self._engine, self._device = engine, device
        self._profile: int | None = 0 if not engine.contexts else None
        engine.contexts.append(self)
        self._shape: tuple[int, ...] | None = None
        self._addresses: dict[str, int] = {}
        self.changes = 0

    def set_optimization_profile_async(self, index: int, handle: int) -> bool:
        assert handle, "the default stream"
        self._profile, self.changes = index, self.changes + 1
        return 0 <= index < len(self._engine.profiles)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == self._engine.input
        assert self._profile is not None, "no profile"
        low, high = self._engine.profiles[self._profile]
        if not low <= shape[0] <= high:
            self._engine.logger.log(_Logger.ERROR, f"batch {shape[0]} is not in [{low}, {high}]")
            return False
        self._shape, self.changes = tuple(shape), self.changes + 1
        return True

    def infer_shapes(self) -> list[str]:
        return [] if self._shape else [self._engine.input]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert self._shape
        return self._shape if name == self._engine.input else self._engine.sizes(self._shape)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name], self.changes = address, self.changes + 1
        return address % 256 == 0

    def execute_async_v3(self, handle: int) -> bool:
        engine, shape, stream = self._engine, self._shape, self._device.streams[handle]
        if shape is None or set(self._addresses) != {engine.input, engine.output}:
            return False
        source = array_at(self._addresses[engine.input], shape, np.dtype(np.float32))
        target = array_at(self._addresses[engine.output], engine.sizes(shape), np.dtype(np.float32))
        is_recorded, changes = stream.recording is not None, self.changes

        def work() -> None:
            if is_recorded:
                assert changes == self.changes, "its context was changed after it was recorded"
            assert not engine.is_stripped, "weights are missing"
            target[...] = engine.session.run(None, {engine.input: source.copy()})[0]

        stream.queue(work)
        return True


class _Engine:
    def __init__(self, plan: bytes, logger: Any, device: StandInDevice) -> None:
        head, _, body = plan[4:].partition(b"\n")
        header = json.loads(head)
        model = onnx.load_from_string(body)
        self.session, self.logger, self._device = onnx_session(model), logger, device
        self.profiles, self.is_stripped = header["profiles"], header["stripped"]
        self.input, self.output = model.graph.input[0].name, model.graph.output[0].name
        self._dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]]
        self.num_io_tensors, self.num_optimization_profiles = 2, len(self.profiles)
        self.contexts: list[_Context] = []

    def sizes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self.session.run(None, {self.input: np.zeros(shape, np.float32)})[0].shape)

    def get_tensor_name(self, index: int) -> str:
        return (self.output, self.input)[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == self.input else "out"

    def get_tensor_dtype(self, name: str) -> type:
        return np.float32

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        low, high = self.profiles[index]
        return [(n, *self._dims) for n in (low, high, high)]

    def get_engine_stat(self, which: str) -> int:
        return 100 if self.is_stripped else 0

    def create_execution_context(self, config: Any = None) -> _Context:
        return _Context(self, self._device)

    def create_runtime_config(self) -> Any:
        cache = SimpleNamespace(known=b"", serialize=lambda: b"compiled")
        cache.deserialize = lambda data: setattr(cache, "known", data) or True
        held = SimpleNamespace(create_runtime_cache=lambda: cache, get_runtime_cache=lambda: cache)
        held.set_runtime_cache = lambda given: setattr(held, "cache", given)
        self.config = held
        return held


def stand_in_trt(device: StandInDevice, *, is_rtx: bool = False) -> Any:
    """Return a module with the parts of ``tensorrt`` or ``tensorrt_rtx`` that run plans."""
    engines: list[_Engine] = []

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
            device.check_current()
            if not plan.startswith(b"PLAN"):
                self.logger.log(_Logger.ERROR, "Serialization assertion failed: magic tag")
                return None
            engines.append(_Engine(plan, self.logger, device))
            return engines[-1]

    class Refitter:
        def __init__(self, engine: _Engine, logger: Any) -> None:
            self.engine = engine

        def refit_cuda_engine(self) -> bool:
            self.engine.is_stripped = False
            return True

    class OnnxParserRefitter:
        def __init__(self, refitter: Refitter, logger: Any) -> None: ...

        def refit_from_file(self, path: str) -> bool:
            onnx.load(path)
            return True

    trt: Any = ModuleType("tensorrt_rtx" if is_rtx else "tensorrt")
    vars(trt).update(
        ILogger=_Logger,
        Runtime=Runtime,
        Refitter=Refitter,
        OnnxParserRefitter=OnnxParserRefitter,
        IBuilderConfig=SimpleNamespace(set_timing_cache=None),
        TensorIOMode=SimpleNamespace(INPUT="in", OUTPUT="out"),
        EngineStat=SimpleNamespace(STRIPPED_WEIGHTS_SIZE="stripped"),
        nptype=lambda dtype: dtype,
        engines=engines,
    )
    if is_rtx:
        trt.IBuilderConfig.set_compute_capability = None
        trt.CudaGraphStrategy = SimpleNamespace(DISABLED=0, WHOLE_GRAPH_CAPTURE=1)
        trt.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER=2)
    return trt
