"""Times of a plan's layers, from OpenVINO's own counters and the graph that it executes.

The counters are read after every run and medians taken. Shapes of plans with a free batch are those
of the last run. Layers that were merged away or work in place take no time and are left out.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..backends.base import Pictures
from ..layer_time import BETWEEN, LayerTime

_WARM_UP, _LEAST_RUNS, _SECONDS = 3, 5, 2.0
_PRECISIONS = {
    "f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8",
}  # fmt: skip
_TAKE_A_PART = {"StridedSlice", "Gather", "GatherND", "GatherElements", "Slice"}
_VIEWS = {"Reshape", "Squeeze", "Unsqueeze", "Flatten"}


def layer_times(
    graph: Any, pictures: Pictures, config: Mapping[str, Any], *, seconds: float = _SECONDS
) -> tuple[LayerTime, ...]:
    """Compile a graph, run it on pictures for about ``seconds``, and return its layers in order.

    The last one, of kind ``BETWEEN``, is what is left of a run.

    Args:
        graph: an ``openvino.Model``.
        pictures: (N, C, H, W), float32.
        config: what it is compiled with.
        seconds: how long to run it; five runs at least.
    """
    import openvino as ov

    compiled = ov.Core().compile_model(graph, "CPU", {**config, "PERF_COUNT": True})
    request, feed = compiled.create_infer_request(), np.ascontiguousarray(pictures)
    for _ in range(_WARM_UP):
        request.infer([feed], share_inputs=True)
    times: dict[str, list[float]] = defaultdict(list)
    between: list[float] = []
    end = time.perf_counter() + seconds
    while len(between) < _LEAST_RUNS or time.perf_counter() < end:
        start = time.perf_counter()
        request.infer([feed], share_inputs=True)
        wall = 1000 * (time.perf_counter() - start)
        run = {c.node_name: 1000 * c.real_time.total_seconds() for c in request.profiling_info}
        for name, milliseconds in run.items():
            times[name].append(milliseconds)
        between.append(max(0.0, wall - sum(run.values())))
    medians = {name: statistics.median(own) for name, own in times.items()}
    executed = compiled.get_runtime_model().get_ordered_ops()
    layers = [_layer(op, medians[n]) for op in executed if medians.get(n := op.get_friendly_name())]
    return (*layers, _between(statistics.median(between)))


def _between(milliseconds: float) -> LayerTime:
    return LayerTime(
        name=BETWEEN.lower(), kind=BETWEEN, precision="", milliseconds=milliseconds, bytes=0,
        nodes=(),
    )  # fmt: skip


def _layer(op: Any, milliseconds: float) -> LayerTime:
    told = op.get_rt_info()
    kind = str(told["layerType"].astype(str))
    nodes = str(told["originalLayersNames"].astype(str)).split(",")
    return LayerTime(
        name=op.get_friendly_name(),
        kind=kind,
        precision=_PRECISIONS.get(str(told["runtimePrecision"].astype(str)), ""),
        milliseconds=milliseconds,
        bytes=_moved(op, kind),
        nodes=tuple(node for node in nodes if node),
    )


def _moved(op: Any, kind: str) -> int:
    if kind in _VIEWS:
        return 0
    written = sum(map(_bytes, op.outputs()))
    read = sum(_bytes(port.get_source_output()) for port in op.inputs())
    return written + (min(read, written) if kind in _TAKE_A_PART else read)


def _bytes(port: Any) -> int:
    """Bytes of a tensor of the executed graph; its element type is what it is stored in."""
    shape = port.get_partial_shape()
    if shape.is_dynamic:
        return 0
    count = int(np.prod(shape.to_shape(), dtype=np.int64))
    return (count * int(port.get_element_type().bitwidth) + 7) // 8
