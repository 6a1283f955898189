"""onnxruntime on the CPU: the reference with which all other targets are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ...calibration.int8_style import Int8Style
from ...common.cores import usable_cores
from ...common.cpu import channel_block, has_exact_int8
from ...common.input_size import InputSize
from ...common.onnx_files import read_onnx, write_onnx
from ...common.onnx_session import onnx_session
from ...common.path_text import is_text
from ..base import Availability, Backend, BuildSettings, GraphNeeds, RunSettings
from ..plan_interface import check_ports
from ..refusal import refused_nodes
from ..runner import FreePlan, Runner
from .plan_limits import check_onnx_plan


class _Runner(Runner):
    """A session that ``streams`` threads may run at the same time."""

    runs_on_cpu = True

    def __init__(
        self,
        session: Any,
        *,
        label: str,
        max_batch: int,
        streams: int = 1,
        size: InputSize | None = None,
    ) -> None:
        check_ports([each.type for each in session.get_inputs()], len(session.get_outputs()))
        (entry,) = session.get_inputs()  # (N, C, H, W), N may be free
        shape = tuple(entry.shape[1:])
        if size is not None and len(shape) == 3:  # sides that are free have a name
            sides = zip(shape[1:], size, strict=True)
            shape = (shape[0], *(own if isinstance(own, int) else side for own, side in sides))
        super().__init__(label=label, shape=shape, max_batch=max_batch)
        self._session, self._entry = session, entry.name
        self._output, self.streams = session.get_outputs()[0].name, streams

    def _execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run one batch."""
        return self._session.run([self._output], {self._entry: feed})[0]

    def _release(self) -> None:
        self._session = None


class _OnnxRuntime(Backend):
    name = "onnxruntime"
    precisions = ("fp32", "fp16", "int8")
    suffix = ".onnx"
    runs_on_cpu = True
    has_free_sizes = True

    def availability(self) -> Availability:
        """Return the version: onnxruntime is always installed with ocr-trt."""
        import onnxruntime

        return Availability(can_build=True, can_run=True, version=onnxruntime.__version__)

    def needs(self) -> GraphNeeds:
        """Limit weights on processors that add two int8 products in 16 bits and clip the sum."""
        style = Int8Style(largest_weight=127 if has_exact_int8() else 63)
        return GraphNeeds(style=style, channel_multiple=channel_block())

    def build(self, model: onnx.ModelProto, plan: Path, settings: BuildSettings) -> None:
        """Write the quantized graph itself; onnxruntime compiles it when it is opened."""
        write_onnx(model, plan)

    def refusals(self, model: onnx.ModelProto) -> dict[str, str]:
        """Open a session on the graph, and on single nodes if onnxruntime refuses it."""
        return refused_nodes(model, onnx_session)

    def open(self, plan: Path, *, label: str, settings: RunSettings, max_batch: int) -> Runner:
        """Open a session on the plan, whose threads all streams share."""
        session, streams = _session(plan, settings), max(1, settings.streams)
        return _Runner(session, label=label, max_batch=max_batch, streams=streams)

    def open_free(self, plan: Path, *, settings: RunSettings) -> FreePlan:
        """Open a session on a plan of any height or width."""
        return _FreeSession(_session(plan, settings), max(1, settings.streams))


class _FreeSession(FreePlan):
    """A session for all input sizes."""

    def __init__(self, session: Any, streams: int) -> None:
        self._session, self._streams = session, streams

    def runner(self, size: InputSize, *, label: str, max_batch: int) -> Runner:
        """Return a runner; its height or width is that of the plan if it is fixed there."""
        return _Runner(
            self._session, label=label, max_batch=max_batch, streams=self._streams, size=size
        )


def _session(plan: Path, settings: RunSettings) -> Any:
    divides_integers = check_onnx_plan(plan)
    streams = max(1, settings.streams)
    threads = settings.threads
    if streams > 1:
        # Each calling thread computes too, so the session creates only the remaining threads.
        threads = max(1, (threads or usable_cores()) - streams + 1)
    # onnxruntime opens only paths that are UTF-8.
    whole: str | bytes = str(plan) if is_text(plan) else plan.read_bytes()
    model = _guarded(plan) if divides_integers else whole
    return onnx_session(model, threads=threads, int8_kernels=True)


def _guarded(plan: Path) -> onnx.ModelProto:
    """Return the graph of a plan, in which no integer division can end the process."""
    import onnx_ir as ir  # slow to import, and few plans divide integers

    from ...convert.guard_divisions import guard_divisions

    model = read_onnx(plan)
    guard_divisions(model)
    return ir.to_proto(model)


def runner_from_model(model: onnx.ModelProto, *, label: str, max_batch: int) -> Runner:
    """Return a runner of a graph in memory."""
    return _Runner(onnx_session(model), label=label, max_batch=max_batch)


BACKEND = _OnnxRuntime()
