"""One NVIDIA GPU through pycuda: memory, streams, CUDA graphs, kernels of custom ops.

No other module of ``engines`` calls CUDA.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from typing import Any

import numpy as np
import numpy.typing as npt

from ...common.cache import named_cache
from ...errors import TargetMissingError
from ...plugins.cuda.nvrtc import FLOORS, ptx_from_source
from ...plugins.cuda.on_device import DeviceKernels
from ...plugins.plugin import Attributes, Launch, Plugin


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """Properties of a GPU that a plan can depend on.

    Versions are "MAJOR.MINOR"; ``driver`` is the version of CUDA that the driver supports.
    """

    name: str
    compute_capability: str
    driver: str


class Stream:
    """A queue of work that the GPU does in order. ``handle``: CUDA's handle as an integer."""

    def __init__(self, cuda: Any) -> None:
        self.pycuda = cuda.Stream()  # not the default stream, which waits for all other streams
        self.handle = int(self.pycuda.handle)

    def synchronize(self) -> None:
        """Wait until all queued work is done."""
        self.pycuda.synchronize()


class Memory:
    """One array in pinned host memory and in GPU memory, aligned to at least 256 bytes.

    Copies are queued on a stream; they copy the first ``rows`` along the first axis.
    """

    def __init__(self, cuda: Any, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._cuda = cuda
        self.host: npt.NDArray = cuda.pagelocked_empty(shape, dtype)
        self._device = cuda.mem_alloc(max(1, self.host.nbytes))
        self.address = int(self._device)

    def upload(self, rows: int, stream: Stream) -> None:
        """Queue a copy to the device."""
        self._cuda.memcpy_htod_async(self.address, self.host[:rows], stream.pycuda)

    def download(self, rows: int, stream: Stream) -> None:
        """Queue a copy from the device."""
        self._cuda.memcpy_dtoh_async(self.host[:rows], self.address, stream.pycuda)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A contiguous array on the device."""

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def like(self) -> npt.NDArray:
        """Return an array of the same shape and dtype, which takes almost no memory."""
        return np.broadcast_to(np.zeros((), self.dtype), self.shape)


class Call:
    """A custom op with its inputs, ready to run. ``outputs``: shape and dtype of each output."""

    def __init__(
        self, kernels: DeviceKernels, launch: Launch, inputs: Sequence[int], scratch: Sequence[int]
    ) -> None:
        self._kernels, self._launch, self.outputs = kernels, launch, launch.outputs
        self._inputs, self._scratch = inputs, scratch

    def enqueue(self, outputs: Sequence[int], stream: Stream) -> None:
        """Queue the op; ``outputs`` are addresses in GPU memory."""
        addresses = [*self._inputs, *outputs, *self._scratch]
        self._kernels.launch(self._launch, addresses, stream.pycuda)


class Op:
    """A custom op whose kernels are loaded on the device."""

    def __init__(self, cuda: Any, plugin: Plugin) -> None:
        ptx = ptx_from_source(plugin.source, FLOORS[0], named_cache("ptx"))
        self._cuda, self._plugin, self._kernels = cuda, plugin, DeviceKernels(ptx)
        self._scratch: dict[tuple[int, ...], list[Any]] = {}

    def call(self, inputs: Sequence[Placed], attributes: Attributes) -> Call:
        """Return the op for these inputs, ready to be queued.

        Raises:
            ValueError: the op does not accept such inputs.
        """
        launch = self._plugin.launch([placed.like() for placed in inputs], attributes)
        sizes = tuple(math.prod(shape) * dtype.itemsize for shape, dtype in launch.scratch)
        if sizes not in self._scratch:
            self._scratch[sizes] = [self._cuda.mem_alloc(max(1, size)) for size in sizes]
        addresses = [placed.address for placed in inputs]
        return Call(self._kernels, launch, addresses, [int(room) for room in self._scratch[sizes]])


class CudaDevice:
    """The first GPU visible to CUDA (see ``CUDA_VISIBLE_DEVICES``), with its primary context.

    TensorRT works in that context too.

    Raises:
        TargetMissingError: pycuda, the driver or a GPU is missing, or its memory is full.
    """

    def __init__(self) -> None:
        gpu_here()
        import pycuda.driver as cuda

        self._cuda = cuda
        try:
            self._context = cuda.Device(0).retain_primary_context()
        except cuda.Error as error:
            raise TargetMissingError(
                f"the GPU cannot be used ({error}); nvidia-smi shows which processes use it"
            ) from None
        # pycuda's destructor would treat it as a context that pycuda created, not as the primary.
        weakref.finalize(self, self._context.detach)

    @property
    def gpu(self) -> Gpu:
        """The name and versions of the GPU."""
        return gpu_here()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the GPU's context the current one of this thread, for a block."""
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    def memory(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Memory:
        """Allocate pinned host memory and device memory; both are freed with the object."""
        return Memory(self._cuda, shape, np.dtype(dtype))

    def stream(self) -> Stream:
        """Create a stream."""
        return Stream(self._cuda)

    def op(self, plugin: Plugin) -> Op:
        """Load a custom op's kernels; NVRTC compiles them the first time.

        Raises:
            TargetMissingError: NVRTC is not installed.
        """
        return Op(self._cuda, plugin)

    def captured(self, stream: Stream, enqueue: Callable[[], bool]) -> Callable[[], None] | None:
        """Record the work that ``enqueue`` queues as a CUDA graph; return a function to repeat it.

        None if ``enqueue`` returns False or the work cannot be recorded; the recording always ends.
        Recording uses cuda-bindings, because pycuda has no functions for it.
        """
        try:
            from cuda.bindings import driver
        except ImportError:
            return None
        queue = driver.CUstream(stream.handle)
        # Thread-local, so that CUDA calls of other threads do not invalidate the recording.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        if driver.cuStreamBeginCapture(queue, mode)[0]:
            return None
        done = False
        try:
            done = enqueue()
        finally:
            failure, graph = driver.cuStreamEndCapture(queue)
        if failure:
            return None
        failure, executable = driver.cuGraphInstantiate(graph, 0)
        driver.cuGraphDestroy(graph)  # the executable does not refer to it
        if failure:
            return None

        def replay() -> None:
            (failure,) = driver.cuGraphLaunch(executable, queue)
            if failure:
                raise RuntimeError(f"CUDA graph: {failure.name}")

        weakref.finalize(replay, driver.cuGraphExecDestroy, executable)
        return replay if done else None


def gpu_here() -> Gpu:
    """Return the properties of the first GPU; creates no context on it.

    Raises:
        TargetMissingError: no GPU can be used.
    """
    absence = gpu_absence()
    if absence is not None:
        reason, hint = absence
        raise TargetMissingError(f"{reason}; {hint}")
    import pycuda.driver as cuda

    device, version = cuda.Device(0), cuda.get_driver_version()
    major, minor = device.compute_capability()
    return Gpu(
        name=device.name(),
        compute_capability=f"{major}.{minor}",
        driver=f"{version // 1000}.{version % 1000 // 10}",  # 12040 is 12.4
    )


def gpu_absence() -> tuple[str, str] | None:
    """Return (reason, hint) why no NVIDIA GPU can be used here, or None."""
    install = "pip install 'ocr-trt[gpu]' on a machine with an NVIDIA GPU"
    if util.find_spec("pycuda") is None:
        return "pycuda is not installed", install
    try:
        import pycuda.driver as cuda
    except ImportError as error:  # no driver library, or built for another version of CUDA
        return f"pycuda cannot be loaded ({error})", "install the driver of your NVIDIA GPU"
    try:
        cuda.init()
        count = cuda.Device.count()
    except cuda.Error as error:
        return f"no usable NVIDIA driver ({error})", "install the driver of your NVIDIA GPU"
    return None if count else ("no NVIDIA GPU found", "use a machine with an NVIDIA GPU")
