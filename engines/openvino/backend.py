"""OpenVINO on the CPU: the fastest target on machines without a GPU."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ...calibration.int8_style import Int8Style
from ...common.cpu import channel_block, has_bf16, has_exact_int8
from ...common.onnx_files import as_file, is_too_large
from ...errors import OutputError
from ..base import Availability, Backend, BuildSettings, GraphNeeds, RunSettings
from ..layer_time import LayerTime
from ..manifest import Precision
from ..refusal import refusal_error, refused_nodes
from ..runner import Batch, FreePlan, Runner
from .compiled_plan import compile_config, compiled_plan
from .library import import_openvino, openvino_core
from .plan_limits import check_plan_text

# Types of recurrent ops in OpenVINO's .xml.
_MOST_PHASES = 8
"""Channels of a Conv that replaces a deconvolution. DepthToSpace is slow with more: with 24 outputs
at stride 2 (96 channels) the Conv took 1.1 to 1.4 times as long as the deconvolution, with one
output 0.9 to 1.0 times in float, and less in int8."""
_RECURRENT = (b"LSTMSequence", b"GRUSequence", b"RNNSequence")


class _OpenVino(Backend):
    name = "openvino"
    suffix = ".xml"
    runs_on_cpu = True
    has_free_sizes = True

    def __init__(self) -> None:
        self.precisions = ("fp32", "bf16", "int8") if has_bf16() else ("fp32", "int8")

    def availability(self) -> Availability:
        """OpenVINO is part of the base install."""
        try:
            openvino = import_openvino()
        except ImportError as error:
            return Availability(
                can_build=False, can_run=False, reason=str(error), hint="pip install openvino"
            )
        return Availability(
            can_build=True, can_run=True, version=openvino.__version__.split("-")[0]
        )

    def needs(self) -> GraphNeeds:
        """Return limits that depend on the processor.

        On processors that add two int8 products in 16 bits, OpenVINO's kernels clip large sums, and
        int8 matrix products are slower than float ones.
        """
        is_exact = has_exact_int8()
        return GraphNeeds(
            style=Int8Style(largest_weight=127 if is_exact else 63, products=is_exact),
            channel_multiple=channel_block(),
        )

    def lower(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Replace deconvolutions with few outputs, such as the last layer of a detector.

        OpenVINO has no int8 kernels for any of them, but its DepthToSpace is slow. Chains stay:
        as 1x1 Convs in float (see ``_read``) they are fast, and int8 there costs accuracy.
        """
        from ..deconvolution_chains import chained_deconvolutions
        from ..lower_deconvolutions import lower_deconvolutions

        chained = chained_deconvolutions(model)
        return lower_deconvolutions(model, most_results=_MOST_PHASES, kept=chained)

    def _read(self, model: onnx.ModelProto) -> Any:
        """Read a graph into OpenVINO, with the functions of custom ops inlined.

        Raises:
            RuntimeError: OpenVINO refuses it.
        """
        import onnx_ir as ir
        from onnx_ir.passes import common

        from ..deconvolution_chains import lower_deconvolution_chains
        from .argmax_poolings import lower_argmax_poolings
        from .fake_quantize import lower_qdq_pairs
        from .grid_samples import omit_linear_modes
        from .inlined_calls import mark_calls
        from .integer_reductions import lower_integer_reductions
        from .unpoolings import lower_unpoolings

        whole = ir.from_proto(model)
        mark_calls(whole)
        common.InlinePass()(whole)
        lower_argmax_poolings(whole)
        lower_unpoolings(whole)
        lower_integer_reductions(whole)
        omit_linear_modes(whole)
        lower_deconvolution_chains(whole)
        inlined = lower_qdq_pairs(ir.to_proto(whole))
        if is_too_large(inlined):  # protobuf cannot serialize it to one message
            with as_file(inlined) as path:
                return openvino_core().read_model(path)
        return openvino_core().read_model(inlined.SerializeToString(deterministic=True))

    def _compile(self, model: onnx.ModelProto) -> None:
        """Read and compile a graph, as the later steps do with its plan."""
        graph = self._read(model)
        openvino_core().compile_model(graph, "CPU", compile_config(RunSettings()))

    def refusals(self, model: onnx.ModelProto) -> dict[str, str]:
        """Read and compile the graph; OpenVINO rarely names the node that it refuses."""
        return refused_nodes(model, self._compile)

    def build(self, model: onnx.ModelProto, plan: Path, settings: BuildSettings) -> None:
        """Write OpenVINO's own format (.xml and .bin)."""
        ov = import_openvino()
        try:
            graph = self._read(model)
        except RuntimeError as error:
            raise refusal_error(self.name, model, self.refusals(model)) from error
        try:
            # By default OpenVINO stores weights in fp16, which changes numbers.
            ov.save_model(graph, str(plan), compress_to_fp16=False)
        except RuntimeError as error:
            free = shutil.disk_usage(plan.parent).free
            raise OutputError(
                f"openvino cannot write its plan of about {model.ByteSize():,} bytes, but {free:,} "
                f"bytes are free: {str(error).splitlines()[-1]}"
            ) from error

    def open(self, plan: Path, *, label: str, settings: RunSettings, max_batch: int) -> Runner:
        """Load and compile the plan; its batch axis stays free unless that makes it slow."""
        from .infer_requests import OpenVinoRunner, RecurrentRunner, Requests, image_shape

        check_plan_text(plan)
        if _is_slow_with_free_batch(plan):
            return RecurrentRunner(plan, settings, label=label, max_batch=max_batch)
        compiled = compiled_plan(plan, settings)
        shape, requests = image_shape(compiled), Requests.of(compiled, settings)
        return OpenVinoRunner(requests, shape=shape, label=label, max_batch=max_batch)

    def open_free(self, plan: Path, *, settings: RunSettings) -> FreePlan:
        """Load and compile a plan of any height or width."""
        from .infer_requests import FreeOpenVinoPlan

        check_plan_text(plan)
        return FreeOpenVinoPlan(plan, settings)

    def look_inside(
        self, plan: Path, names: Sequence[str], images: Batch
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Add outputs to the plan; OpenVINO's importer keeps the names of tensors."""
        check_plan_text(plan)
        core = openvino_core()
        graph = core.read_model(plan)
        own = graph.output(0).get_names()
        ports = [port for op in graph.get_ordered_ops() for port in op.outputs()]
        known = {name for port in ports for name in port.get_names()}
        inner = [name for name in names if name in known - own]
        graph.add_outputs(inner)
        compiled = core.compile_model(graph, "CPU", compile_config(RunSettings(), plan))
        request = compiled.create_infer_request()
        request.infer([np.ascontiguousarray(images)])
        shown = [*inner, *own]
        return {name: np.array(request.get_tensor(name).data) for name in shown}

    def layer_times(
        self, plan: Path, images: Batch, settings: RunSettings, seconds: float | None = None
    ) -> tuple[LayerTime, ...]:
        """Measure the layers with OpenVINO's counters."""
        check_plan_text(plan)
        from .profile import layer_times

        graph = openvino_core().read_model(plan)
        if _is_slow_with_free_batch(plan) or any(side.is_dynamic for side in _sides(graph)):
            graph.reshape(list(images.shape))
        return layer_times(graph, images, compile_config(settings, plan), seconds=seconds)

    def peaks(self, progress: Callable[[float], None]) -> dict[Precision, float]:
        """Time convolutions of sizes that suit OpenVINO's kernels."""
        from .convolution_peaks import convolution_peaks

        return convolution_peaks(compile_config(RunSettings()), progress)


def _sides(graph: Any) -> list[Any]:
    """Return height and width of the input (N, C, H, W), which may be free."""
    shape = graph.input(0).partial_shape
    return [] if shape.rank.is_dynamic else list(shape)[2:]


def _is_slow_with_free_batch(plan: Path) -> bool:
    """Whether a plan has recurrent ops and a free batch axis; see :class:`RecurrentRunner`."""
    text = plan.read_bytes()  # the .xml states the type of each op
    if not any(b'type="%s"' % kind in text for kind in _RECURRENT):
        return False
    return bool(openvino_core().read_model(plan).input(0).partial_shape.is_dynamic)


BACKEND = _OpenVino()
