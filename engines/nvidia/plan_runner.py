"""Run a plan with several batches at once.

The time of :meth:`PlanRunner.execute` is what trtexec reports as latency: it includes the copies to
and from the GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import LifoQueue
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InputFileError
from ..runner import Runner
from .device import CudaDevice
from .features import Features
from .infer_request import InferRequest, LoadedPlan, PlanSettings


class PlanRunner(Runner):
    """A loaded plan with one input and one output. Any number of threads may call :meth:`run`.

    Args:
        trt: NVIDIA's module.
        engine: from ``load_plan.engine_from_plan``.
        device: the GPU it was loaded on.
        features: of the module.
        label: its name in messages and reports.
        settings: how to run it.

    Raises:
        InputFileError: its inputs and outputs are not those of an OCR model.
    """

    def __init__(
        self,
        trt: Any,
        engine: Any,
        device: CudaDevice,
        features: Features,
        *,
        label: str,
        settings: PlanSettings,
    ) -> None:
        self._plan = LoadedPlan(trt, engine, features, settings)
        image = self._plan.input
        if len(image.shape) != 4:
            raise InputFileError(
                f"{label}: the plan accepts {image.shape}, expected (N, C, H, W); build it again"
            )
        _, channels, height, width = image.shape
        super().__init__(label=label, shape=(channels, height, width), max_batch=image.shape[0])
        self.device, self._lock = device, Lock()
        self._idle: LifoQueue[InferRequest] = LifoQueue()
        self.streams, self._created = settings.streams, 0
        self._idle.put(self._new_request())

    def _new_request(self) -> InferRequest:
        with self.device.current():
            request = InferRequest(self._plan, self.device)
        self._created += 1
        return request

    @contextmanager
    def infer_request(self) -> Iterator[InferRequest]:
        """Lend an infer request for a block in which the GPU's context is current.

        Waits if all are in use.

        Raises:
            ClosedError: the runner is closed.
        """
        with self._open.in_use():
            request = self._acquire()
            try:
                with self.device.current():
                    yield request
            finally:
                self._idle.put(request)

    def _acquire(self) -> InferRequest:
        """Return an idle infer request, or create one if more are allowed, or wait for one."""
        with self._lock:
            if self._idle.empty() and self._created < self.streams:
                return self._new_request()
        return self._idle.get()

    def _execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Copy a batch to the GPU, run it, copy the output back."""
        with self.infer_request() as request:
            return request.run(feed)

    def _release(self) -> None:
        """Free GPU memory, and cache the kernels of TensorRT-RTX."""
        with self.device.current():
            # No batch is in flight, so all requests are idle.
            requests = [self._idle.get_nowait() for _ in range(self._created)]
            # Contexts go before their engine: TensorRT requires this order.
            requests.clear()
            self._plan.close()
