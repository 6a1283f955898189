"""How much a 16-bit model differs from its float32 graph by its own rounding.

The graph is run twice: in float32, and with every result rounded to the model's type. The
difference is the rounding of the model, as the graph passes it on to the output. TensorFlow rounds
more often than that, because its kernels also add up products in 16 bits, so a multiple of this
difference is allowed (docs/decisions/0020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from .graph import constant, graph_of, nodes_of, set_constant_input, transfer_name
from .node_builder import NodeBuilder
from .passes.raise_recurrent import RECURRENT
from .recurrent.loop_bodies import deep_nodes, inner_graphs, rename_made
from .recurrent.scan_bodies import scans_from_recurrent

Array = npt.NDArray[np.float32]

_PEAKS, _RMS = 8.0, 4.0
"""Allowed multiples of the rounding: of its largest value, and of its root mean square."""
_TYPES = {"float16": ir.DataType.FLOAT16, "bfloat16": ir.DataType.BFLOAT16}


def rounded(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a float32 graph that rounds every result.

        y = Op(x)  ->  y = Cast<float>(Cast<T>(Clip(Op(x), -limit, limit)))

    It clips to the largest number of the type, because a model may compute large numbers, such as
    masks, in float32.

    A recurrent layer rounds in each step, and the next step reads what it rounded. So LSTM, GRU and
    RNN are written as Scans, and the results inside all loops are rounded. Weights inside loops are
    rounded too: the model casts them there, so that the float32 graph has the exact ones.

    Args:
        model: a float32 graph.
        name: T, "float16" or "bfloat16".
    """
    copy, dtype = ir.from_proto(model), _TYPES[name]
    for node in nodes_of(copy, *RECURRENT):
        scans_from_recurrent(node, lambda array: _rounded_array(array, dtype))
    bodies = [body for node in copy.graph for body in inner_graphs(node)]
    for body in bodies:
        _round_constants(body, dtype)
    for node in deep_nodes(copy.graph):
        for value in node.outputs:
            if value.dtype == ir.DataType.FLOAT:
                round_behind(graph_of(node), node, value, dtype, clips=True)
    for number, body in enumerate(bodies):
        rename_made(body, f"body_{number}")
    return ir.to_proto(copy)


def _rounded_array(array: Array, dtype: ir.DataType) -> Array:
    """Round an array as :func:`rounded` rounds results."""
    largest = float(ml_dtypes.finfo(dtype.numpy()).max)  # type: ignore[no-untyped-call]
    return np.clip(array, -largest, largest).astype(dtype.numpy()).astype(np.float32)


def _round_constants(body: ir.Graph, dtype: ir.DataType) -> None:
    """Round the float constants that the nodes of a body read."""
    for node in deep_nodes(body):
        for index, value in enumerate(node.inputs):
            array = constant(value)
            if array is not None and array.dtype == np.float32:
                set_constant_input(node, index, _rounded_array(array, dtype))


def round_behind(
    graph: ir.Graph, node: ir.Node, value: ir.Value, dtype: ir.DataType, *, clips: bool = False
) -> None:
    """Insert a cast to ``dtype`` and back behind a value, in front of all its readers."""
    users, build, exact = list(value.uses()), NodeBuilder(graph), value
    if clips:
        largest = float(ml_dtypes.finfo(dtype.numpy()).max)  # type: ignore[no-untyped-call]
        exact = build.op("Clip", value, -largest, largest)
    narrow = build.op("Cast", exact, dtype=dtype, to=dtype.value)
    wide = build.op("Cast", narrow, dtype=ir.DataType.FLOAT, to=ir.DataType.FLOAT.value)
    build.insert_after(node)
    for user, index in users:
        user.replace_input_with(index, wide)
    # An output of the graph keeps its name, which now belongs to the rounded value.
    for index, output in enumerate(graph.outputs):
        if output is value:
            transfer_name(value, wide, ".exact")
            graph.outputs[index] = wide


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """The differences that rounding causes in an output, over some images."""

    peak: float = 0.0
    """The largest."""
    rms: float = 0.0
    """Their root mean square."""

    @classmethod
    def of(cls, differences: Sequence[Array]) -> Rounding:
        """Summarize absolute differences; infinities and NaN make any difference too large."""
        joined = np.concatenate([np.ravel(each) for each in differences]).astype(np.float64)
        return cls(peak=float(joined.max()), rms=float(np.sqrt(np.square(joined).mean())))

    def limit(self, tolerance: float) -> float:
        """Return the largest difference that is allowed: ``tolerance`` without rounding."""
        return tolerance + _PEAKS * self.peak

    def limit_rms(self, tolerance: float) -> float:
        """Return the root mean square that is allowed."""
        return tolerance + _RMS * self.rms

    def explains(self, differences: Sequence[Array], tolerance: float) -> bool:
        """Whether rounding and a tolerance account for the differences of two outputs."""
        found = Rounding.of(differences)
        # Both are false for NaN.
        return found.peak <= self.limit(tolerance) and found.rms <= self.limit_rms(tolerance)
