"""OpenVINO on the CPU: the fastest target of a machine without a GPU."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from ...calibration.quantize import Int8Style
from ...errors import EngineBuildError, OutputError
from ...onnx_file import as_file, is_too_large
from ..cpu import has_exact_int8
from ..layer_time import LayerTime
from ..lower.fake_quantize import lower_qdq_pairs
from ..manifest import Precision
from .base import Backend, BuildSettings, GraphNeeds, Pictures, Presence, Runner, RunSettings

_RECURRENT = {"LSTMSequence", "GRUSequence", "RNNSequence"}


def _config(settings: RunSettings) -> dict[str, Any]:
    """Explicit about everything that changes numbers: bf16 would otherwise be chosen silently."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": settings.threads,
        "ENABLE_CPU_PINNING": False,  # engines of one process would share the first cores
    }


class _Runner(Runner):
    def __init__(self, compiled: Any, *, label: str, max_batch: int) -> None:
        shape = compiled.inputs[0].partial_shape
        dims = tuple(shape[axis].get_length() for axis in (1, 2, 3))
        super().__init__(label=label, shape=dims, max_batch=max_batch)
        self._request = compiled.create_infer_request()

    def execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run one batch."""
        self._request.infer([feed], share_inputs=True)
        return np.array(self._request.get_output_tensor(0).data)

    def close(self) -> None:
        """Drop the compiled model."""
        super().close()
        self._request = None


class _RecurrentRunner(Runner):
    """A plan with LSTM or GRU and a free batch, compiled anew for each power of two it meets.

    With a free batch OpenVINO takes these ops apart into a loop of single steps, four times as
    slow. A batch between two sizes is filled up.
    """

    def __init__(self, graph: Any, settings: RunSettings, *, label: str, max_batch: int) -> None:
        shape = graph.input(0).partial_shape
        dims = tuple(shape[axis].get_length() for axis in (1, 2, 3))
        super().__init__(label=label, shape=dims, max_batch=max_batch)
        self._graph, self._settings = graph, settings
        self._requests: dict[int, Any] = {}

    def _request(self, size: int) -> Any:
        import openvino as ov

        if size not in self._requests:
            fixed = self._graph.clone()
            fixed.reshape([size, *self.shape])
            compiled = ov.Core().compile_model(fixed, "CPU", _config(self._settings))
            self._requests[size] = compiled.create_infer_request()
        return self._requests[size]

    def execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run one batch."""
        count = len(feed)
        size = min(1 << (count - 1).bit_length(), self.max_batch)
        filled = np.zeros((size, *self.shape), np.float32)
        filled[:count] = feed
        request = self._request(size)
        request.infer([filled], share_inputs=True)
        return np.array(request.get_output_tensor(0).data[:count])

    def close(self) -> None:
        """Drop the compiled models."""
        super().close()
        self._requests.clear()


def _needs_fixed_batch(graph: Any) -> bool:
    kinds = {op.get_type_name() for op in graph.get_ordered_ops()}
    return bool(kinds & _RECURRENT) and graph.input(0).partial_shape.is_dynamic


class _OpenVino(Backend):
    name = "openvino"
    precisions = ("fp32", "int8")
    suffix = ".xml"

    def presence(self) -> Presence:
        """Part of the base install."""
        try:
            import openvino
        except ImportError as error:
            return Presence(
                can_build=False, can_run=False, reason=str(error), remedy="pip install openvino"
            )
        return Presence(can_build=True, can_run=True, version=openvino.__version__.split("-")[0])

    def needs(self) -> GraphNeeds:
        """Its kernels clip sums of products where the processor adds them in 16 bits."""
        return GraphNeeds(style=Int8Style(largest_weight=127 if has_exact_int8() else 63))

    def _read(self, model: onnx.ModelProto) -> Any:
        """Hand over a graph, with our functions inlined."""
        import openvino as ov

        whole = ir.from_proto(model)
        common.InlinePass()(whole)
        inlined = lower_qdq_pairs(ir.to_proto(whole))
        try:
            if is_too_large(inlined):
                with as_file(inlined) as path:
                    return ov.Core().read_model(path)
            return ov.Core().read_model(inlined.SerializeToString(deterministic=True))
        except RuntimeError as error:
            raise EngineBuildError(f"openvino refuses the graph: {error}") from error

    def refusals(self, model: onnx.ModelProto) -> dict[str, str]:
        """Read the graph."""
        try:
            self._read(model)
        except EngineBuildError as error:
            return {"": str(error)}
        return {}

    def build(self, model: onnx.ModelProto, plan: Path, settings: BuildSettings) -> None:
        """Write OpenVINO's own form (.xml and .bin)."""
        import openvino as ov

        graph = self._read(model)
        try:
            ov.save_model(graph, str(plan), compress_to_fp16=False)
        except RuntimeError as error:
            free = shutil.disk_usage(plan.parent).free
            raise OutputError(
                f"openvino cannot write its plan of about {model.ByteSize():,} bytes where "
                f"{free:,} are free: {str(error).splitlines()[-1]}"
            ) from error

    def open(self, plan: Path, *, label: str, settings: RunSettings, max_batch: int) -> Runner:
        """Load and compile the plan. Where a free batch axis costs nothing it stays free."""
        import openvino as ov

        core = ov.Core()
        graph = core.read_model(plan)
        if _needs_fixed_batch(graph):
            return _RecurrentRunner(graph, settings, label=label, max_batch=max_batch)
        compiled = core.compile_model(graph, "CPU", _config(settings))
        return _Runner(compiled, label=label, max_batch=max_batch)

    def look_inside(
        self, plan: Path, names: Sequence[str], pictures: Pictures
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Add outputs to the plan; the importer kept the names of tensors."""
        import openvino as ov

        core = ov.Core()
        graph = core.read_model(plan)
        own = graph.output(0).get_names()
        ports = [port for op in graph.get_ordered_ops() for port in op.outputs()]
        known = {name for port in ports for name in port.get_names()}
        wanted = [name for name in names if name in known - own]
        graph.add_outputs(wanted)
        request = core.compile_model(graph, "CPU", _config(RunSettings())).create_infer_request()
        request.infer([np.ascontiguousarray(pictures)])
        shown = [*wanted, *own]
        return {name: np.array(request.get_tensor(name).data) for name in shown}

    def layer_times(
        self, plan: Path, pictures: Pictures, settings: RunSettings
    ) -> tuple[LayerTime, ...]:
        """Read the counters of OpenVINO."""
        import openvino as ov

        from ..openvino.profile import layer_times

        graph = ov.Core().read_model(plan)
        if _needs_fixed_batch(graph):
            graph.reshape(list(pictures.shape))
        return layer_times(graph, pictures, _config(settings))

    def peaks(self, progress: Callable[[float], None]) -> dict[Precision, float]:
        """Time convolutions that suit it."""
        from ..openvino.peaks import convolution_peaks

        return convolution_peaks(_config(RunSettings()), progress)


BACKEND = _OpenVino()
