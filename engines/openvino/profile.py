"""Measure the times of a plan's layers, from OpenVINO's counters and the graph that it executes.

A counter is the average, in whole microseconds, over all runs since the plan was compiled. The plan
runs in blocks. The average of one block follows from the counters before and after it:

    own = (runs_after * counter_after - runs_before * counter_before) / runs_of_the_block

The result is the median over the blocks without the first one, in which OpenVINO prepares kernels
and memory. Plans with a free batch have the shapes of their last run. Layers that were fused into
others are left out. Layers that work in place, or are faster than the counters resolve, take 0 ms.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..layer_time import BETWEEN, LayerTime
from ..runner import Batch
from .library import openvino_core
from .recurrent_origins import KINDS, onnx_names, origin_of

_BLOCKS, _MIN_RUNS, _SECONDS = 5, 2, 2.0
_PRECISIONS = {
    "f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8",
}  # fmt: skip
# Ops that read only as much of their input as they write.
_PARTIAL_READS = {"StridedSlice", "Gather", "GatherND", "GatherElements", "Slice"}
_VIEWS = {"Reshape", "Squeeze", "Unsqueeze", "Flatten"}


def layer_times(
    graph: Any, images: Batch, config: Mapping[str, Any], *, seconds: float | None = None
) -> tuple[LayerTime, ...]:
    """Compile a graph, run it on images for about ``seconds``, and return its layers in order.

    The last item, of kind ``BETWEEN``, is the time of a run outside all layers.

    Args:
        graph: an ``openvino.Model``.
        images: (N, C, H, W), float32.
        config: OpenVINO's properties.
        seconds: how long to run it; None: two seconds. A block has at least two runs.
    """
    names = onnx_names(graph)
    compiled = openvino_core().compile_model(graph, "CPU", {**config, "PERF_COUNT": True})
    # Two runs before the blocks: the first warms up, the second estimates the time of a run.
    request, feed = compiled.create_infer_request(), np.ascontiguousarray(images)
    _run(request, feed)
    seconds = _SECONDS if seconds is None else seconds
    runs = max(_MIN_RUNS, round(seconds / (_BLOCKS + 1) / _run(request, feed)))
    sums, times, between = [_sums(request, 2)], defaultdict[str, list[float]](list), []
    for block in range(_BLOCKS + 1):
        wall = 1000 * sum(_run(request, feed) for _ in range(runs)) / runs
        sums.append(_sums(request, 2 + (block + 1) * runs))
        own = {name: max(0.0, t - sums[-2].get(name, 0.0)) / runs for name, t in sums[-1].items()}
        if block:  # the first block is dropped
            between.append(max(0.0, wall - sum(own.values())))
            for name, milliseconds in own.items():
                times[name].append(milliseconds)
    medians = {name: statistics.median(each) for name, each in times.items()}
    executed = compiled.get_runtime_model().get_ordered_ops()
    # Constants have no counters, and fused layers are not executed.
    layers = [
        _layer(op, medians[name], names)
        for op in executed
        if (name := op.get_friendly_name()) in medians
    ]
    return (*layers, _between(statistics.median(between)))


def _run(request: Any, feed: Batch) -> float:
    """Run once; return the seconds it took."""
    start = time.perf_counter()
    request.infer([feed], share_inputs=True)
    return time.perf_counter() - start


def _sums(request: Any, runs: int) -> dict[str, float]:
    """Return the total milliseconds of each layer in all ``runs`` so far."""
    counters = request.profiling_info
    return {each.node_name: 1000 * runs * each.real_time.total_seconds() for each in counters}


def _between(milliseconds: float) -> LayerTime:
    return LayerTime(
        name=BETWEEN.lower(), kind=BETWEEN, precision="", milliseconds=milliseconds, bytes=0,
        nodes=(),
    )  # fmt: skip


def _originals(op: Any) -> tuple[str, ...]:
    """Return the names of the plan's ops that an executed layer computes."""
    names = str(op.get_rt_info()["originalLayersNames"].astype(str)).split(",")
    return tuple(filter(None, names))


def _layer(op: Any, milliseconds: float, names: Mapping[str, tuple[str, ...]]) -> LayerTime:
    info, nodes = op.get_rt_info(), _originals(op)
    kind = str(info["layerType"].astype(str))
    if kind in KINDS:
        nodes += origin_of(op, names, _originals)
    return LayerTime(
        name=op.get_friendly_name(),
        kind=kind,
        precision=_PRECISIONS.get(str(info["runtimePrecision"].astype(str)), ""),
        milliseconds=milliseconds,
        bytes=_moved(op, kind),
        nodes=nodes,
    )


def _moved(op: Any, kind: str) -> int:
    """Return the bytes that a layer reads and writes; see :class:`LayerTime`."""
    if kind in _VIEWS:
        return 0
    written = sum(map(_bytes, op.outputs()))
    read = sum(_bytes(port.get_source_output()) for port in op.inputs())
    return written + (min(read, written) if kind in _PARTIAL_READS else read)


def _bytes(port: Any) -> int:
    """Return the bytes of a tensor of the executed graph, as stored."""
    shape = port.get_partial_shape()
    if shape.is_dynamic:
        return 0
    count = int(np.prod(shape.to_shape(), dtype=np.int64))
    return (
        count * int(port.get_element_type().bitwidth) + 7
    ) // 8  # rounded up, since types may have 4 bits or 1
