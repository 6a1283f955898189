"""Runs a plan: a context, a stream and buffers for each batch that is on its way.

What trtexec calls latency, the copies to and from the device included, is what
:meth:`PlanRunner.execute` takes. Batches that are submitted together overlap: the copies of one run
while another computes, since each has a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import LifoQueue
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from ...common.cache import named_cache
from ...errors import InputFileError
from ..base import Batch, Runner
from .device import Device, Memory
from .features import Features
from .logger import errors_since, logger_of

_ALIGNMENT = 256
_BEFORE_CAPTURE = 2
"""Runs of a shape before it is recorded: in the first TensorRT still sets itself up."""


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output of a plan. ``shape``: its largest; the first axis is the batch."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """How to run a plan.

    Attributes:
        infer_requests: how many batches may be on their way at once, each with memory of its own.
        use_graphs: record the work for one image and for a full batch, and have the GPU repeat it
            in one call.
        runtime_cache: key in the cache of the kernels that TensorRT-RTX compiled for this GPU.
    """

    infer_requests: int = 2
    use_graphs: bool = True
    runtime_cache: str | None = None


class PlanRunner(Runner):
    """A loaded plan of one input and one output. Any number of threads may call :meth:`run`.

    Args:
        trt: NVIDIA's module.
        engine: from ``load.engine_from_plan``.
        device: the GPU it was loaded on.
        features: of the module.
        label: what to call it.
        settings: how to run it.

    Raises:
        InputFileError: it has other inputs and outputs than an OCR model.
    """

    def __init__(
        self,
        trt: Any,
        engine: Any,
        device: Device,
        features: Features,
        *,
        label: str,
        settings: PlanSettings,
    ) -> None:
        self._plan = _Plan(trt, engine, features, settings)
        image = self._plan.input
        if len(image.shape) != 4:
            raise InputFileError(f"{label}: the plan takes {image.shape}, not (N, C, H, W)")
        _, channels, height, width = image.shape
        super().__init__(label=label, shape=(channels, height, width), max_batch=image.shape[0])
        self.device, self._lock = device, Lock()
        self._idle: LifoQueue[InferRequest | None] = LifoQueue()
        self.infer_requests, self._made = settings.infer_requests, 0
        self._is_closed = False
        self._idle.put(self._new_infer_request())

    def _new_infer_request(self) -> InferRequest:
        with self.device.current():
            infer_request = InferRequest(self._plan, self.device)
        self._made += 1
        return infer_request

    @contextmanager
    def infer_request(self) -> Iterator[InferRequest]:
        """Give an infer request for a block in which the GPU's context is current.

        Waits for one if all are in use.
        """
        infer_request = self._taken()
        try:
            with self.device.current():
                yield infer_request
        finally:
            self._idle.put(infer_request)

    def _taken(self) -> InferRequest:
        """Return an idle infer_request, a new one if there may be more, or wait for one."""
        with self._lock:
            if not self._is_closed and self._idle.empty() and self._made < self.infer_requests:
                return self._new_infer_request()
        infer_request = self._idle.get()
        if self._is_closed or infer_request is None:
            self._idle.put(infer_request)  # for whoever closes, or for the next one who waits
            raise RuntimeError(f"{self.label} is closed")
        return infer_request

    def execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Copy a batch to the GPU, run it, copy the output back."""
        with self.infer_request() as infer_request:
            return infer_request.run(feed)

    def close(self) -> None:
        """Wait for what is on its way, free the GPU's memory, keep what TensorRT-RTX compiled."""
        super().close()
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        with self.device.current():
            infer_requests = [self._idle.get() for _ in range(self._made)]
            self._idle.put(None)
            infer_requests.clear()
            self._plan.close()


class _Plan:
    """What all infer_requests share."""

    def __init__(self, trt: Any, engine: Any, features: Features, settings: PlanSettings) -> None:
        self.trt, self.engine, self.settings = trt, engine, settings
        self.logger = logger_of(trt)
        self.records = settings.use_graphs and not features.captures_itself
        found = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [n for n in found if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        outputs = [name for name in found if name not in inputs]
        if len(inputs) != 1 or len(outputs) != 1:
            raise InputFileError(
                f"the plan has inputs {inputs} and outputs {outputs}, not one of each"
            )
        count = engine.num_optimization_profiles
        profiles = [engine.get_tensor_profile_shape(inputs[0], i) for i in range(count)]
        self.profiles = [(int(low[0]), int(high[0])) for low, _, high in profiles]
        largest = max((tuple(high) for _, _, high in profiles), key=lambda shape: shape[0])
        self.input = self._tensor(inputs[0], tuple(map(int, largest)))
        self.output_name = outputs[0]
        self.output_dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(outputs[0])))
        self._config = self._runtime_config() if features.captures_itself else None

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        dtype = np.dtype(self.trt.nptype(self.engine.get_tensor_dtype(name)))
        return Tensor(name=name, shape=shape, dtype=dtype)

    def _runtime_config(self) -> Any:
        """TensorRT-RTX compiles kernels when it first meets a shape, and records graphs itself."""
        trt, config = self.trt, self.engine.create_runtime_config()
        graphs, kernels = trt.CudaGraphStrategy, trt.DynamicShapesKernelSpecializationStrategy
        expected = graphs.WHOLE_GRAPH_CAPTURE if self.settings.use_graphs else graphs.DISABLED
        config.cuda_graph_strategy = expected
        config.dynamic_shapes_kernel_specialization_strategy = kernels.EAGER
        cache, key = config.create_runtime_cache(), self.settings.runtime_cache
        known = named_cache("runtime").read(key) if key else None
        if known is not None:
            cache.deserialize(known)  # returns False for another version or GPU, and starts empty
        config.set_runtime_cache(cache)
        return config

    def context(self) -> Any:
        """Make a context, with no shape set yet."""
        count = len(self.logger.errors)
        given = () if self._config is None else (self._config,)
        context = self.engine.create_execution_context(*given)
        if context is None:
            raise self.fail("TensorRT cannot make a context", count)
        return context

    def profile(self, batch: int) -> int:
        """Return the profile for batches of so many."""
        return next(i for i, (low, high) in enumerate(self.profiles) if low <= batch <= high)

    def fail(self, what: str, count: int) -> RuntimeError:
        """Return an error with what was logged after the first ``count`` messages."""
        return RuntimeError(f"{what}: {errors_since(self.logger, count) or 'no reason given'}")

    def close(self) -> None:
        """Keep the runtime cache."""
        key = self.settings.runtime_cache
        if self._config is not None and key is not None:
            data = self._config.get_runtime_cache().serialize()
            if data is not None:
                named_cache("runtime").write(key, bytes(data))
        self._config = self.engine = None


class _Shape:
    """A context bound to one infer_request's buffers, and what repeats its work."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.batch = 0
        self.runs = 0
        self.replay: Callable[[], None] | None = None


class InferRequest:
    """One batch on its way. Its user holds it alone, and has the GPU's context current.

    Attributes:
        stream: on which all its work is queued.
        input: (N, C, H, W) for the largest batch.

    A recorded graph holds on to the state of its context, so the two sizes that are recorded have
    contexts of their own; all other sizes share one.
    """

    def __init__(self, plan: _Plan, device: Device) -> None:
        self._plan, self._device = plan, device
        self.stream = device.stream()
        self.input = device.memory(plan.input.shape, plan.input.dtype)
        self._output: Memory | None = None
        self._shapes: dict[int, _Shape] = {}

    def run(self, images: Batch) -> npt.NDArray[np.float32]:
        """Run one batch, and wait for it."""
        batch = len(images)
        self.input.host[:batch] = images
        self.input.upload(batch, self.stream)
        output = self.enqueue(batch)
        output.download(batch, self.stream)
        self.stream.synchronize()
        return np.array(output.host[:batch], np.float32)

    def enqueue(self, batch: int) -> Memory:
        """Queue a run on so many images of the input; return where the output will be."""
        is_recorded = self._plan.records and batch in (1, self._plan.input.shape[0])
        key = batch if is_recorded else 0
        if key not in self._shapes:
            self._shapes[key] = _Shape(self._plan.context())
        shape = self._shapes[key]
        if shape.batch != batch:
            self._bind(shape, batch)
        assert self._output is not None
        if shape.replay is not None:
            shape.replay()
            return self._output
        count = len(self._plan.logger.errors)
        if is_recorded and shape.runs == _BEFORE_CAPTURE:
            self.stream.synchronize()
            shape.replay = self._device.captured(
                self.stream, lambda: shape.context.execute_async_v3(self.stream.handle)
            )
            if shape.replay is not None:
                shape.replay()
                return self._output
        shape.runs += 1
        if not shape.context.execute_async_v3(self.stream.handle):
            raise self._plan.fail("TensorRT cannot run the plan", count)
        return self._output

    def _bind(self, shape: _Shape, batch: int) -> None:
        """Tell a context a batch size, and where input and output are."""
        plan, context, count = self._plan, shape.context, len(self._plan.logger.errors)
        shape.batch = 0  # until all of it is done
        done = context.set_optimization_profile_async(plan.profile(batch), self.stream.handle)
        self.stream.synchronize()
        done = done and context.set_input_shape(plan.input.name, (batch, *plan.input.shape[1:]))
        if not done or context.infer_shapes():
            raise plan.fail(f"TensorRT does not take batches of {batch}", count)
        sizes = tuple(map(int, context.get_tensor_shape(plan.output_name)))
        output = self._memory_for_output(sizes)
        for name, memory in ((plan.input.name, self.input), (plan.output_name, output)):
            if memory.address % _ALIGNMENT or not context.set_tensor_address(name, memory.address):
                raise plan.fail(f"TensorRT does not take the memory for {name}", count)
        shape.batch = batch

    def _memory_for_output(self, sizes: tuple[int, ...]) -> Memory:
        if self._output is None:
            if not sizes or min(sizes) < 0:
                raise InputFileError(f"the plan's output has no fixed size: {sizes}")
            shape = (self._plan.input.shape[0], *sizes[1:])
            self._output = self._device.memory(shape, self._plan.output_dtype)
        if sizes[1:] != self._output.host.shape[1:]:
            raise InputFileError(f"the plan's output changes with the batch: {sizes}")
        return self._output
