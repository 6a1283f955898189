"""One batch in flight on a GPU: an execution context, a CUDA stream and buffers.

Batches in flight overlap: each has its own stream, so one copies while another computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...common.cache import named_cache
from ...errors import InputFileError
from ..runner import Batch
from .device import CudaDevice, Memory
from .features import Features
from .logger import errors_since, logger_of

# TensorRT requires addresses of inputs and outputs to be multiples of this.
_ALIGNMENT = 256
# Runs of a batch size before it is recorded: TensorRT sets up resources in the first run, and this
# must not be recorded.
_BEFORE_CAPTURE = 2


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output of a plan. ``shape`` is the largest; its first axis is the batch."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """How to run a plan.

    Attributes:
        streams: how many batches may be in flight at once; each needs memory of its own.
        use_graphs: record the work for one image and for a full batch as CUDA graphs, which the
            GPU repeats in one call.
        runtime_cache: key in the cache of the kernels that TensorRT-RTX compiled for this GPU.
    """

    streams: int = 2
    use_graphs: bool = True
    runtime_cache: str | None = None


class LoadedPlan:
    """A loaded plan, which all infer requests share."""

    def __init__(self, trt: Any, engine: Any, features: Features, settings: PlanSettings) -> None:
        self.trt, self.engine, self.settings = trt, engine, settings
        self.logger = logger_of(trt)
        self.records = settings.use_graphs and not features.captures_itself
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        if len(inputs) != 1 or len(outputs) != 1:
            raise InputFileError(
                f"the plan has inputs {inputs} and outputs {outputs}, expected one of each"
            )
        count = engine.num_optimization_profiles
        # (smallest, optimal, largest) shape of each profile; only the batch differs.
        profiles = [engine.get_tensor_profile_shape(inputs[0], i) for i in range(count)]
        self.profiles = [(int(low[0]), int(high[0])) for low, _, high in profiles]
        largest = max((tuple(high) for _, _, high in profiles), key=lambda shape: shape[0])
        shape = tuple(map(int, largest))
        self.input = Tensor(name=inputs[0], shape=shape, dtype=self._dtype(inputs[0]))
        self.output_name = outputs[0]
        self.output_dtype = self._dtype(outputs[0])
        self._config = self._runtime_config() if features.captures_itself else None

    def _dtype(self, name: str) -> np.dtype:
        return np.dtype(self.trt.nptype(self.engine.get_tensor_dtype(name)))

    def _runtime_config(self) -> Any:
        """TensorRT-RTX compiles kernels at the first run of a shape, and records graphs itself."""
        trt, config = self.trt, self.engine.create_runtime_config()
        graphs, kernels = trt.CudaGraphStrategy, trt.DynamicShapesKernelSpecializationStrategy
        strategy = graphs.WHOLE_GRAPH_CAPTURE if self.settings.use_graphs else graphs.DISABLED
        config.cuda_graph_strategy = strategy
        # EAGER compiles the kernels of a shape in its first run, LAZY in the background.
        config.dynamic_shapes_kernel_specialization_strategy = kernels.EAGER
        cache, key = config.create_runtime_cache(), self.settings.runtime_cache
        known = named_cache("runtime").read(key) if key else None
        if known is not None:
            cache.deserialize(known)  # returns False for another version or GPU, and starts empty
        config.set_runtime_cache(cache)
        return config

    def context(self) -> Any:
        """Create a context; no shape is set yet."""
        count = len(self.logger.errors)
        given = () if self._config is None else (self._config,)
        context = self.engine.create_execution_context(*given)
        if context is None:
            raise self.fail("TensorRT cannot create an execution context", count)
        return context

    def profile(self, batch: int) -> int:
        """Return the index of the profile for this batch size."""
        return next(i for i, (low, high) in enumerate(self.profiles) if low <= batch <= high)

    def fail(self, what: str, count: int) -> RuntimeError:
        """Return an error with all messages logged after the first ``count``."""
        return RuntimeError(f"{what}: {errors_since(self.logger, count) or 'no reason given'}")

    def close(self) -> None:
        """Write the runtime cache to the disk, and free the plan."""
        key = self.settings.runtime_cache
        if self._config is not None and key is not None:
            data = self._config.get_runtime_cache().serialize()
            if data is not None:
                named_cache("runtime").write(key, bytes(data))
        self._config = self.engine = None


@dataclass(kw_only=True)
class _BoundContext:
    """A context bound to the buffers of one infer request, and the recording of its work."""

    context: Any
    batch: int = 0
    """The batch size that is set; 0: none yet, or setting it failed."""
    runs: int = 0
    """Runs that were not recorded."""
    replay: Callable[[], None] | None = None


class InferRequest:
    """One batch in flight. One thread uses it at a time, with the GPU's context current.

    Attributes:
        stream: the CUDA stream of all its work.
        input: (N, C, H, W) for the largest batch.

    A recorded CUDA graph refers to the state of its context, which must not change afterwards.
    Therefore each of the two recorded batch sizes has its own context; all other sizes share one.
    """

    def __init__(self, plan: LoadedPlan, device: CudaDevice) -> None:
        self._plan, self._device = plan, device
        self.stream = device.stream()
        self.input = device.memory(plan.input.shape, plan.input.dtype)
        self._output: Memory | None = None
        self._contexts: dict[int, _BoundContext] = {}

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
        """Queue a run on the first ``batch`` images of the input; return the output's memory."""
        is_recorded = self._plan.records and batch in (1, self._plan.input.shape[0])
        key = batch if is_recorded else 0  # 0: the context of all sizes that are not recorded
        if key not in self._contexts:
            self._contexts[key] = _BoundContext(context=self._plan.context())
        bound = self._contexts[key]
        if bound.batch != batch:
            self._bind(bound, batch)
        assert self._output is not None
        count = len(self._plan.logger.errors)
        if is_recorded and bound.replay is None and bound.runs == _BEFORE_CAPTURE:
            self.stream.synchronize()  # earlier work must not become part of the recording
            bound.replay = self._device.captured(
                self.stream, lambda: bound.context.execute_async_v3(self.stream.handle)
            )
        if bound.replay is not None:
            bound.replay()
            return self._output
        # If recording failed, the counter passes the limit here, so that it is not tried again.
        bound.runs += 1
        if not bound.context.execute_async_v3(self.stream.handle):
            raise self._plan.fail("TensorRT cannot run the plan", count)
        return self._output

    def _bind(self, bound: _BoundContext, batch: int) -> None:
        """Set a context's batch size and the addresses of input and output."""
        plan, context, count = self._plan, bound.context, len(self._plan.logger.errors)
        bound.batch = 0  # a failure below leaves the context without a valid batch size
        # A profile must be set before the shape, which it limits.
        done = context.set_optimization_profile_async(plan.profile(batch), self.stream.handle)
        self.stream.synchronize()
        done = done and context.set_input_shape(plan.input.name, (batch, *plan.input.shape[1:]))
        if not done or context.infer_shapes():
            raise plan.fail(f"TensorRT does not accept batches of {batch}", count)
        sizes = tuple(map(int, context.get_tensor_shape(plan.output_name)))
        output = self._memory_for_output(sizes)
        for name, memory in ((plan.input.name, self.input), (plan.output_name, output)):
            if memory.address % _ALIGNMENT or not context.set_tensor_address(name, memory.address):
                raise plan.fail(f"TensorRT does not accept the memory for {name}", count)
        bound.batch = batch

    def _memory_for_output(self, sizes: tuple[int, ...]) -> Memory:
        if self._output is None:
            if not sizes or min(sizes) < 0:
                raise InputFileError(
                    f"the plan's output has no fixed size: {sizes}; build it again"
                )
            shape = (self._plan.input.shape[0], *sizes[1:])
            self._output = self._device.memory(shape, self._plan.output_dtype)
        if sizes[1:] != self._output.host.shape[1:]:
            raise InputFileError(
                f"the size of the plan's output depends on the batch: {sizes}; build it again"
            )
        return self._output
