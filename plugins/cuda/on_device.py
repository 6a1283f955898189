"""Kernels on a GPU, launched by pycuda before and after an engine rather than inside it.

Every call needs a CUDA context that is current in the thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..plugin import Array, Buffers, Launch


class DeviceKernels:
    """The kernels of one op, loaded into the current context from their PTX.

    Raises:
        pycuda.driver.Error: the driver rejects the PTX, as a driver for an older CUDA may.
    """

    def __init__(self, ptx: bytes) -> None:
        import pycuda.driver as cuda

        self._cuda = cuda
        self._module = cuda.module_from_buffer(ptx)
        self._prepared: dict[str, Any] = {}

    def launch(self, launch: Launch, addresses: Sequence[int], stream: Any = None) -> None:
        """Enqueue all launches of an op.

        Args:
            launch: the launches.
            addresses: the device addresses of inputs, outputs and scratch, in that order.
            stream: a pycuda stream; None is the default stream.

        Raises:
            ValueError: there are fewer addresses than buffers.
        """
        behind = len(launch.outputs) + len(launch.scratch)
        ahead = len(addresses) - behind
        if ahead < 0:
            raise ValueError(
                f"{len(addresses)} addresses, but outputs and scratch alone need {behind}"
            )
        # The parameters' order is that of Launch: inputs, numbers, outputs, scratch.
        arguments = (*addresses[:ahead], *launch.numbers, *addresses[ahead:])
        types = "P" * ahead + "i" * len(launch.numbers) + "P" * behind
        for step in launch.steps:
            function = self._function(step.entry, types)
            grid, block = (step.blocks, 1), (step.threads, 1, 1)
            function.prepared_async_call(grid, block, stream, *arguments)

    def _function(self, entry: str, types: str) -> Any:
        """Return a kernel prepared for its parameter types: pycuda then launches it faster."""
        if entry not in self._prepared:
            self._prepared[entry] = self._module.get_function(entry).prepare(types)
        return self._prepared[entry]

    def run(self, launch: Launch, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Copy inputs to the GPU, run all launches, and copy the outputs back.

        Raises:
            pycuda.driver.Error: the GPU cannot run them, or reports an invalid address.
        """
        # CUDA allocates no empty buffers, so an empty input gets the address 0 instead.
        given = [
            self._cuda.to_device(np.ascontiguousarray(array)) for array in inputs if array.size
        ]
        held = iter(given)
        sources = [int(next(held)) if array.size else 0 for array in inputs]
        made = [self._cuda.mem_alloc(max(1, size)) for size in _sizes(launch.outputs)]
        scratch = [self._cuda.mem_alloc(max(1, size)) for size in _sizes(launch.scratch)]
        self.launch(launch, [*sources, *map(int, made), *map(int, scratch)])
        results = []
        for (shape, dtype), memory in zip(launch.outputs, made, strict=True):
            array = np.empty(shape, dtype)
            if array.size:
                self._cuda.memcpy_dtoh(array, memory)
            results.append(array)
        return tuple(results)


def _sizes(buffers: Buffers) -> list[int]:
    return [math.prod(shape) * dtype.itemsize for shape, dtype in buffers]
