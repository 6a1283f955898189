"""OpenVINO on the CPU: the fastest target of a machine without a GPU."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ...errors import EngineBuildError, OutputError
from ..lower.fake_quantize import lower_qdq_pairs
from .base import Backend, BuildSettings, Presence, Runner, RunSettings


def _config(settings: RunSettings) -> dict[str, Any]:
    """Explicit about everything that changes numbers: bf16 would otherwise be chosen silently."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": settings.threads,
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
        self._request = None


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

    def _read(self, model: onnx.ModelProto) -> Any:
        """Hand over a graph, with our functions inlined."""
        import onnx.inliner
        import openvino as ov

        inlined = lower_qdq_pairs(onnx.inliner.inline_local_functions(model))
        try:
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
        """Load and compile the plan. A free batch axis costs nothing, so it stays free."""
        import openvino as ov

        compiled = ov.Core().compile_model(plan, "CPU", _config(settings))
        return _Runner(compiled, label=label, max_batch=max_batch)


BACKEND = _OpenVino()
