"""Run OpenVINO's plans with one infer request per stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ...common.input_size import InputSize
from ...common.pool import Pool
from ...errors import InputFileError
from ..base import RunSettings
from ..plan_interface import check_ports
from ..runner import FreePlan, Runner
from .compiled_plan import compiled_plan
from .library import openvino_core

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Requests:
    """The infer requests of a compiled plan, one per stream."""

    pool: Pool[Any]
    streams: int

    @classmethod
    def of(cls, compiled: Any, settings: RunSettings) -> Requests:
        """Create the infer requests of a compiled plan."""
        streams = max(1, settings.streams)
        pool = Pool(compiled.create_infer_request() for _ in range(streams))
        return cls(pool=pool, streams=streams)


class FreeOpenVinoPlan(FreePlan):
    """A plan that was compiled for any height or width.

    OpenVINO prepares its kernels at the first batch of each shape, which takes about 30 ms for a
    recognizer, and keeps those of the last shapes. Afterwards it is as fast as with fixed shapes.
    """

    def __init__(self, plan: Path, settings: RunSettings) -> None:
        compiled = compiled_plan(plan, settings)
        types = [port.get_element_type().get_type_name() for port in compiled.inputs]
        check_ports(types, len(compiled.outputs))
        shape = compiled.input(0).partial_shape
        if shape.rank.is_dynamic or len(shape) != 4 or shape[1].is_dynamic:
            raise InputFileError(
                f"its input has the shape {shape}, expected (N, C, H, W) with a fixed C; "
                "build the bundle again"
            )
        self._channels = shape[1].get_length()
        self._sides = [None if side.is_dynamic else side.get_length() for side in list(shape)[2:]]
        self._requests = Requests.of(compiled, settings)

    def runner(self, size: InputSize, *, label: str, max_batch: int) -> Runner:
        """Return a runner; its height or width is that of the plan if it is fixed there."""
        height, width = (own or side for own, side in zip(self._sides, size, strict=True))
        shape = (self._channels, height, width)
        return OpenVinoRunner(self._requests, shape=shape, label=label, max_batch=max_batch)


class OpenVinoRunner(Runner):
    """Infer requests of a plan that was compiled for any batch size."""

    runs_on_cpu = True

    def __init__(
        self, requests: Requests, *, shape: tuple[int, int, int], label: str, max_batch: int
    ) -> None:
        super().__init__(label=label, shape=shape, max_batch=max_batch)
        self.streams = requests.streams
        self._requests: Pool[Any] | None = requests.pool

    def _execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run one batch; waits for a free stream."""
        # A copy: the request's own output changes with the next batch.
        return self._execute_and(feed, np.array)

    def _execute_and(self, feed: Any, use: Callable[[npt.NDArray[np.float32]], _T]) -> _T:
        """Run one batch, and keep the stream until ``use`` has read the request's own output."""
        assert self._requests is not None
        with self._requests.lend() as request:
            request.infer([feed], share_inputs=True)
            return use(request.get_output_tensor(0).data)

    def _release(self) -> None:
        self._requests = None


class RecurrentRunner(Runner):
    """A plan with LSTM or GRU and a free batch, compiled for each power of two that occurs.

    With a free batch OpenVINO splits these ops into a loop of single steps, which is four times as
    slow. A batch between two powers is padded with zeros.
    """

    def __init__(self, plan: Path, settings: RunSettings, *, label: str, max_batch: int) -> None:
        shape = image_shape(openvino_core().read_model(plan))
        super().__init__(label=label, shape=shape, max_batch=max_batch)
        self.streams = max(1, settings.streams)
        self._plan, self._settings = plan, settings
        self._requests, self._compiling = dict[int, Requests](), Lock()
        self._requests_of(1)  # so that a wrong plan fails here and not at the first batch

    def _requests_of(self, size: int) -> Requests:
        with self._compiling:
            if size not in self._requests:
                compiled = compiled_plan(self._plan, self._settings, batch=size)
                self._requests[size] = Requests.of(compiled, self._settings)
            return self._requests[size]

    def _execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run one batch; waits for a free stream."""
        count = len(feed)
        # The next power of two, so that few sizes are compiled.
        size = min(1 << (count - 1).bit_length(), self.max_batch)
        filled = np.zeros((size, *self.shape), np.float32)
        filled[:count] = feed
        with self._requests_of(size).pool.lend() as request:
            request.infer([filled], share_inputs=True)
            return np.array(request.get_output_tensor(0).data[:count])

    def _release(self) -> None:
        self._requests.clear()


def image_shape(model: Any) -> tuple[int, int, int]:
    """Return (C, H, W) of the input (N, C, H, W) of an OpenVINO model; N may be free."""
    types = [port.get_element_type().get_type_name() for port in model.inputs]
    check_ports(types, len(model.outputs))
    shape = model.input(0).partial_shape
    if shape.rank.is_dynamic or len(shape) != 4 or any(size.is_dynamic for size in list(shape)[1:]):
        raise InputFileError(
            f"its input has the shape {shape}, expected (N, C, H, W) of which only N is free; "
            "build the bundle again"
        )
    channels, height, width = (shape[axis].get_length() for axis in (1, 2, 3))
    return channels, height, width
